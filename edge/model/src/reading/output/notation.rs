//! How formats write calls that are JSON objects.

/// How a format writes its calls.
#[derive(Debug)]
pub(super) struct Notation {
    /// What begins calls.
    pub open: &'static [&'static str],
    /// What may stand behind them.
    pub close: &'static [&'static str],
    pub body: Body,
    /// The key of the name.
    pub name: &'static str,
    /// Calls also begin without a marker, wherever their JSON does.
    pub bare: bool,
    /// Text that follows the marker and is no call stands without it.
    pub hides_marker: bool,
    /// A call needs no arguments.
    pub without_arguments: bool,
    pub trust: Trust,
}

/// What stands behind the marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    List,
    /// A call or a list of calls.
    Either,
    /// A list of `{N: {..}}`.
    NamedList,
    /// A list, or `N{..}`, or `N[ARGS]{..}`.
    ListOrName,
}

/// What is taken for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// What begins like one.
    Form,
    /// Only what is valid to its end and names a function that was offered. Where nothing else tells a call from JSON
    /// that is meant for people, the call waits for its end.
    Offered,
}
