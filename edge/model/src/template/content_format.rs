//! Whether a template reads message content as text or as a list of parts.
//!
//! Nothing declares it. A template that loops over the content of a message expects parts; every other
//! one expects text. The engine's own server decides by the same look at the syntax tree, and prompts
//! must not depend on which of the two renders them.

use minijinja::machinery::ast::{Expr, ForLoop, Set, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentFormat {
    /// One text per message.
    Text,
    /// A list of `{"type": "text", "text": ...}` per message.
    Parts,
}

/// Reads the format off a template's source; one that does not parse reads text.
pub(super) fn detect(source: &str, syntax: SyntaxConfig) -> ContentFormat {
    let Ok(root) = parse(source, "chat_template", syntax) else { return ContentFormat::Text };
    let mut nodes = Nodes::default();
    nodes.collect(&root);
    match nodes.loops_over_content() {
        Some(true) => ContentFormat::Parts,
        _ => ContentFormat::Text,
    }
}

/// The statements that give names to messages and their parts, wherever they stand.
#[derive(Default)]
struct Nodes<'ast, 'source> {
    assignments: Vec<&'ast Set<'source>>,
    loops: Vec<&'ast ForLoop<'source>>,
}

impl<'ast, 'source> Nodes<'ast, 'source> {
    fn collect(&mut self, statement: &'ast Stmt<'source>) {
        match statement {
            Stmt::Template(node) => self.collect_all(&node.children),
            Stmt::ForLoop(node) => {
                self.loops.push(node);
                self.collect_all(&node.body);
                self.collect_all(&node.else_body);
            }
            Stmt::IfCond(node) => {
                self.collect_all(&node.true_body);
                self.collect_all(&node.false_body);
            }
            Stmt::WithBlock(node) => self.collect_all(&node.body),
            Stmt::Set(node) => self.assignments.push(node),
            Stmt::SetBlock(node) => self.collect_all(&node.body),
            Stmt::AutoEscape(node) => self.collect_all(&node.body),
            Stmt::FilterBlock(node) => self.collect_all(&node.body),
            Stmt::Macro(node) => self.collect_all(&node.body),
            Stmt::CallBlock(node) => self.collect_all(&node.macro_decl.body),
            _ => {}
        }
    }

    fn collect_all(&mut self, statements: &'ast [Stmt<'source>]) {
        for statement in statements {
            self.collect(statement);
        }
    }

    /// `None` where the template binds messages in a way that cannot be followed.
    fn loops_over_content(&self) -> Option<bool> {
        let mut messages = vec!["messages"];
        let mut next = 0;
        while let Some(&name) = messages.get(next) {
            next += 1;
            for assignment in self.assignments.iter().filter(|node| reads(&node.expr, name, None)) {
                let target = variable(&assignment.target)?;
                if !messages.contains(&target) {
                    messages.push(target);
                }
            }
        }
        let mut items = Vec::new();
        for node in &self.loops {
            if messages.iter().any(|name| reads(&node.iter, name, None)) {
                items.push(variable(&node.target)?);
            }
        }
        Some(self.loops.iter().any(|node| items.iter().any(|name| reads(&node.iter, name, Some("content")))))
    }
}

/// Whether the expression is the variable (or its attribute `key`), possibly filtered, tested or sliced.
fn reads(expr: &Expr<'_>, name: &str, key: Option<&str>) -> bool {
    match (expr, key) {
        (Expr::Filter(node), _) => node.expr.as_ref().is_some_and(|inner| reads(inner, name, key)),
        (Expr::Test(node), _) => reads(&node.expr, name, key),
        (Expr::Slice(node), _) => reads(&node.expr, name, key),
        (Expr::Var(node), None) => node.id == name,
        (Expr::GetAttr(node), Some(key)) => variable(&node.expr) == Some(name) && node.name == key,
        (Expr::GetItem(node), Some(key)) => {
            let subscript = node.subscript_expr.as_const();
            variable(&node.expr) == Some(name) && subscript.is_some_and(|value| value.as_str() == Some(key))
        }
        _ => false,
    }
}

fn variable<'source>(expr: &Expr<'source>) -> Option<&'source str> {
    match expr {
        Expr::Var(node) => Some(node.id),
        _ => None,
    }
}
