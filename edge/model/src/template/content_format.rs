//! Whether a template reads message content as text or as a list of parts.
//!
//! Nothing declares it. A template that loops over the content of a message expects parts; every other
//! one expects text. The engine's own server decides by the same look at the syntax tree, and prompts
//! must not depend on which of the two renders them.

use minijinja::machinery::ast::{Call, CallArg, Expr, ForLoop, Macro, Set, Stmt};
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
    nodes.collect(&root, None);
    if nodes.loops_over_content() == Some(true) { ContentFormat::Parts } else { ContentFormat::Text }
}

/// What gives names to messages and their contents, wherever it stands.
#[derive(Default)]
struct Nodes<'ast, 'source> {
    assignments: Vec<&'ast Set<'source>>,
    loops: Vec<Loop<'ast, 'source>>,
    macros: Vec<&'ast Macro<'source>>,
    calls: Vec<&'ast Call<'source>>,
}

struct Loop<'ast, 'source> {
    node: &'ast ForLoop<'source>,
    /// The index of the macro it stands in.
    in_macro: Option<usize>,
}

impl<'ast, 'source> Nodes<'ast, 'source> {
    fn collect_all(&mut self, statements: &'ast [Stmt<'source>], in_macro: Option<usize>) {
        for statement in statements {
            self.collect(statement, in_macro);
        }
    }

    fn collect(&mut self, statement: &'ast Stmt<'source>, in_macro: Option<usize>) {
        match statement {
            Stmt::Template(node) => self.collect_all(&node.children, in_macro),
            Stmt::EmitExpr(node) => self.calls_in(&node.expr),
            Stmt::ForLoop(node) => {
                self.loops.push(Loop { node, in_macro });
                self.calls_in_all([&node.iter].into_iter().chain(&node.filter_expr));
                self.collect_all(&node.body, in_macro);
                self.collect_all(&node.else_body, in_macro);
            }
            Stmt::IfCond(node) => {
                self.calls_in(&node.expr);
                self.collect_all(&node.true_body, in_macro);
                self.collect_all(&node.false_body, in_macro);
            }
            Stmt::WithBlock(node) => {
                self.calls_in_all(node.assignments.iter().map(|(_, value)| value));
                self.collect_all(&node.body, in_macro);
            }
            Stmt::Set(node) => {
                self.assignments.push(node);
                self.calls_in(&node.expr);
            }
            Stmt::SetBlock(node) => self.collect_all(&node.body, in_macro),
            Stmt::AutoEscape(node) => self.collect_all(&node.body, in_macro),
            Stmt::FilterBlock(node) => self.collect_all(&node.body, in_macro),
            Stmt::Macro(node) => {
                self.macros.push(node);
                self.collect_all(&node.body, Some(self.macros.len() - 1));
            }
            Stmt::CallBlock(node) => {
                self.call(&node.call);
                self.collect_all(&node.macro_decl.body, in_macro);
            }
            Stmt::Do(node) => self.call(&node.call),
            _ => {}
        }
    }

    fn call(&mut self, call: &'ast Call<'source>) {
        self.calls.push(call);
        self.calls_in(&call.expr);
        self.calls_in_all(call.args.iter().map(argument));
    }

    fn calls_in_all(&mut self, expressions: impl IntoIterator<Item = &'ast Expr<'source>>) {
        for expression in expressions {
            self.calls_in(expression);
        }
    }

    fn calls_in(&mut self, expression: &'ast Expr<'source>) {
        match expression {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(node) => {
                self.calls_in(&node.expr);
                self.calls_in_all(node.start.iter().chain(&node.stop).chain(&node.step));
            }
            Expr::UnaryOp(node) => self.calls_in(&node.expr),
            Expr::BinOp(node) => self.calls_in_all([&node.left, &node.right]),
            Expr::Compare(node) => {
                self.calls_in(&node.expr);
                self.calls_in_all(node.ops.iter().map(|operand| &operand.expr));
            }
            Expr::IfExpr(node) => {
                self.calls_in_all([&node.test_expr, &node.true_expr].into_iter().chain(&node.false_expr));
            }
            Expr::Filter(node) => self.calls_in_all(node.expr.iter().chain(node.args.iter().map(argument))),
            Expr::Test(node) => self.calls_in_all([&node.expr].into_iter().chain(node.args.iter().map(argument))),
            Expr::GetAttr(node) => self.calls_in(&node.expr),
            Expr::GetItem(node) => self.calls_in_all([&node.expr, &node.subscript_expr]),
            Expr::Call(node) => self.call(node),
            Expr::List(node) => self.calls_in_all(&node.items),
            Expr::Tuple(node) => self.calls_in_all(&node.items),
            Expr::Map(node) => self.calls_in_all(node.keys.iter().chain(&node.values)),
        }
    }

    /// Whether a loop runs over a message's content, be it handed to a macro or in a variable of that
    /// name. `None` where the template binds messages in a way that cannot be followed.
    fn loops_over_content(&self) -> Option<bool> {
        let messages = self.message_names()?;
        let is_content = |expr: &Expr<'_>| messages.iter().any(|name| reads(expr, name, Some("content")));
        Some(self.loops.iter().any(|Loop { node, in_macro }| {
            is_content(&node.iter)
                || variable(&node.iter).is_some_and(|name| match in_macro {
                    Some(index) => self.is_given(self.macros[*index], name, is_content),
                    None => name == "content",
                })
        }))
    }

    /// The names of variables that hold one message.
    fn message_names(&self) -> Option<Vec<&'source str>> {
        let mut lists = vec!["messages"];
        let mut next = 0;
        while let Some(&list) = lists.get(next) {
            next += 1;
            for assignment in self.assignments.iter().filter(|node| reads(&node.expr, list, None)) {
                let target = variable(&assignment.target)?;
                if !lists.contains(&target) {
                    lists.push(target);
                }
            }
        }
        let over_messages = |node: &&Loop<'_, '_>| lists.iter().any(|list| reads(&node.node.iter, list, None));
        self.loops.iter().filter(over_messages).map(|node| variable(&node.node.target)).collect()
    }

    /// Whether some call hands such a value to this parameter of the macro.
    fn is_given(&self, called: &Macro<'_>, parameter: &str, value: impl Fn(&Expr<'_>) -> bool) -> bool {
        let position = called.args.iter().position(|arg| variable(arg) == Some(parameter));
        let calls = self.calls.iter().filter(|call| variable(&call.expr) == Some(called.name));
        calls.flat_map(|call| call.args.iter().enumerate()).any(|(index, arg)| match arg {
            CallArg::Pos(expr) => position == Some(index) && value(expr),
            CallArg::Kwarg(name, expr) => *name == parameter && position.is_some() && value(expr),
            _ => false,
        })
    }
}

fn argument<'ast, 'source>(argument: &'ast CallArg<'source>) -> &'ast Expr<'source> {
    match argument {
        CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => expr,
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
