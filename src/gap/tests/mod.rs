//! Rules of the plan, one test each; and histories at random against a reference.

mod histories;
mod rules;
mod world;
