//! The tools that a model is offered, in the forms in which the steps around it take them.
//!
//! Applications send the same tools with each of their requests, and each form of them is a tree of some hundred pieces: they are
//! made once, and serve all requests that share the tools.

use std::sync::Arc;

use minijinja::Value as TemplateValue;
use serde_json::Value;

use crate::{
    reading::{Function, Functions},
    template::{RenderError, template_tools},
    tokens::declaration,
};

/// Tools that are offered.
#[derive(Debug, PartialEq)]
pub struct Offered {
    for_templates: Result<TemplateValue, RenderError>,
    declaration: String,
    functions: Arc<Functions>,
}

impl Offered {
    /// These, each as in the `tools` of a chat request.
    pub fn new(tools: &[Value]) -> Self {
        let functions: Vec<_> = tools.iter().filter_map(|tool| tool.get("function")).map(function).collect();
        Self {
            for_templates: template_tools(tools),
            declaration: declaration(tools),
            functions: Arc::new(Functions::new(&functions)),
        }
    }

    /// What reading calls of them needs to know.
    pub fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// As templates print them.
    pub(crate) fn for_templates(&self) -> Result<TemplateValue, RenderError> {
        self.for_templates.clone()
    }

    /// As OpenAI's models read them, to be counted.
    pub(crate) fn declaration(&self) -> &str {
        &self.declaration
    }
}

fn function(told: &Value) -> Function<'_> {
    let name = told["name"].as_str().unwrap_or_default();
    Function { name, parameters: told.get("parameters").and_then(Value::as_object) }
}
