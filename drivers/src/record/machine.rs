//! The machine of a driver, recorded if somebody asks for that.

use std::ops::Deref;

use countersign_core::{Batch, CommitError, CommitId, Input, Node, Output, Prepared, SessionId, Time};

use super::Recorder;

/// A [`Node`] whose every input goes through here. What only looks at it looks at the node.
pub(crate) struct Machine {
    node: Node,
    recorder: Option<Recorder>,
}

impl Machine {
    pub(crate) fn new(node: Node, recorder: Option<Recorder>) -> Self {
        Self { node, recorder }
    }

    pub(crate) fn handle(&mut self, now: Time, input: Input) {
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &input);
        }
        self.node.handle(now, input);
    }

    pub(crate) fn prepare(&mut self, now: Time, session: SessionId, batch: Batch) -> Result<Prepared, CommitError> {
        if let Some(recorder) = &mut self.recorder {
            let Batch { events, guard } = batch.clone();
            recorder.input(now, &Input::Prepare { session, events, guard });
        }
        self.node.prepare(now, session, batch)
    }

    pub(crate) fn finish(&mut self, now: Time, session: SessionId, applied: bool) -> Option<CommitId> {
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &Input::Finish { session, applied });
        }
        self.node.finish(now, session, applied)
    }

    pub(crate) fn poll(&mut self) -> Output {
        let output = self.node.poll();
        if let Some(recorder) = &mut self.recorder {
            match &output {
                Output::Idle { .. } => recorder.idle(),
                output => recorder.output(output),
            }
        }
        output
    }
}

impl Deref for Machine {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}
