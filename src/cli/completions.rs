//! Completions for shells, made from the tables of commands and flags that the parser reads command lines by
//! (docs/reference/command-line.md#completions).

mod bash;
mod candidates;
mod fish;
mod zsh;

use super::flags;

/// The script of completions for a shell that the parser accepts.
pub fn completions(shell: &str) -> String {
    let flags = flags::all();
    match shell {
        "zsh" => zsh::script(&flags),
        "fish" => fish::script(&flags),
        _ => bash::script(&flags),
    }
}
