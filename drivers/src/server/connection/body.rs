//! The body of an answer over HTTP: a text, or the pages of a pull as they are read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// What is answered.
pub(super) enum Answer {
    /// A whole text.
    Text(Option<Bytes>),
    /// Parts, made when the former has been taken. An error breaks the connection off.
    Parts(Pin<Box<dyn Stream<Item = io::Result<Bytes>>>>),
}

impl Answer {
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self::Text((!text.is_empty()).then_some(text))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Parts(parts) => parts.as_mut().poll_next(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Parts(_) => SizeHint::default(),
        }
    }
}
