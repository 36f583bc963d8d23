use crate::args;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::Output;
pub(crate) fn run(_args: args::Demo, _output: &mut Output) -> Result<Exit> {
    Ok(Exit::Reached)
}
