//! Labels of metrics. What a label can be is in its type: one of an enum's values, in snake_case, or a name out of a set that
//! is bounded by configuration. There is none of a request or a key.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

/// A label's values.
pub trait Label: EncodeLabelValue {
    /// What they can be, for people: in back-ticks, where all are known.
    fn values() -> String;
}

/// The labels of a metric.
pub trait LabelSet: EncodeLabelSet {
    /// Each, and what it can be.
    fn labels() -> Vec<(&'static str, String)>;
}

/// All values of an enum, as [`Label::values`] has them.
pub fn listed<T: Copy + Into<&'static str>>(all: &[T]) -> String {
    let names: Vec<String> = all.iter().map(|&value| format!("`{}`", value.into())).collect();
    names.join(", ")
}

/// Makes an enum with strum's `IntoStaticStr` and `VariantArray` a label.
#[macro_export]
macro_rules! label {
    ($($name:ty),+ $(,)?) => {$(
        impl ::prometheus_client::encoding::EncodeLabelValue for $name {
            fn encode(
                &self,
                encoder: &mut ::prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> ::std::result::Result<(), ::std::fmt::Error> {
                let name: &'static str = (*self).into();
                ::prometheus_client::encoding::EncodeLabelValue::encode(&name, encoder)
            }
        }

        impl $crate::metrics::label::Label for $name {
            fn values() -> String {
                $crate::metrics::label::listed(<Self as ::strum::VariantArray>::VARIANTS)
            }
        }
    )+};
}

/// Makes structs of labels.
#[macro_export]
macro_rules! label_set {
    ($($(#[$meta:meta])* $visible:vis struct $name:ident {
        $($(#[$of_field:meta])* $field_visible:vis $field:ident: $kind:ty),* $(,)?
    })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, ::prometheus_client::encoding::EncodeLabelSet)]
        $visible struct $name {
            $($(#[$of_field])* $field_visible $field: $kind),*
        }

        impl $crate::metrics::label::LabelSet for $name {
            fn labels() -> Vec<(&'static str, String)> {
                vec![$((stringify!($field), <$kind as $crate::metrics::label::Label>::values())),*]
            }
        }
    )+};
}

/// Makes a type that holds a name a label, and says which names there are.
#[macro_export]
macro_rules! named {
    ($($(#[$meta:meta])* $visible:vis struct $name:ident($inner:ty) = $values:expr;)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        $visible struct $name(pub $inner);

        impl ::prometheus_client::encoding::EncodeLabelValue for $name {
            fn encode(
                &self,
                encoder: &mut ::prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> ::std::result::Result<(), ::std::fmt::Error> {
                ::prometheus_client::encoding::EncodeLabelValue::encode(&self.0, encoder)
            }
        }

        impl $crate::metrics::label::Label for $name {
            fn values() -> String {
                $values.to_owned()
            }
        }
    )+};
}

named! {
    /// A model by its id.
    pub struct Model(String) = "a model of the catalogue";
}
