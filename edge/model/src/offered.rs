//! The tools that a model is offered, in the forms in which the steps around it take them.
//!
//! Applications send the same tools with each of their requests, and each form of them is a tree of some hundred pieces: it is
//! made when it is first asked for, and serves all requests that share the tools from then on.

use std::sync::{Arc, OnceLock};

use minijinja::Value as TemplateValue;
use serde_json::Value;

use crate::{
    reading::{Function, Functions},
    template::{RenderError, template_tools},
    tokens::declaration,
};

/// Tools that are offered. None of them is changed any more.
#[derive(Debug, Default)]
pub struct Offered {
    tools: Vec<Value>,
    for_templates: OnceLock<TemplateValue>,
    declaration: OnceLock<String>,
    functions: OnceLock<Arc<Functions>>,
}

impl Offered {
    /// These, each as in the `tools` of a chat request.
    pub fn new(tools: Vec<Value>) -> Self {
        Self { tools, ..Self::default() }
    }

    /// What reading calls of them needs to know.
    pub fn functions(&self) -> &Arc<Functions> {
        self.functions.get_or_init(|| {
            let functions: Vec<_> = self.tools.iter().filter_map(|tool| tool.get("function")).map(function).collect();
            Arc::new(Functions::new(&functions))
        })
    }

    /// Whether reading knows of them already.
    pub fn is_read(&self) -> bool {
        self.functions.get().is_some()
    }

    /// As templates print them.
    pub(crate) fn for_templates(&self) -> Result<TemplateValue, RenderError> {
        if let Some(made) = self.for_templates.get() {
            return Ok(made.clone());
        }
        let made = template_tools(&self.tools)?;
        Ok(self.for_templates.get_or_init(|| made).clone())
    }

    /// As OpenAI's models read them, to be counted.
    pub(crate) fn declaration(&self) -> &str {
        self.declaration.get_or_init(|| declaration(&self.tools))
    }
}

fn function(told: &Value) -> Function<'_> {
    let name = told["name"].as_str().unwrap_or_default();
    Function { name, parameters: told.get("parameters").and_then(Value::as_object) }
}

impl PartialEq for Offered {
    fn eq(&self, other: &Self) -> bool {
        self.tools == other.tools
    }
}
