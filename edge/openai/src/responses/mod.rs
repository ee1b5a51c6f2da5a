//! `POST /v1/responses` and what belongs to it.

mod conversation;
mod echo;
mod events;
mod input;
mod item;
mod pages;
mod record;
mod reply;
mod request;
mod response;
mod step;
mod text;
mod tools;

pub use item::{Item, Part, Role, Status};
pub use pages::{Page, page};
pub use record::Record;
pub use reply::Reply;
pub use request::{Asked, Continued, parse};
pub use response::{Form, Response, Stage};
pub use step::Step;

pub(crate) use input::to_keep as items_to_keep;
