//! What a client says, cut into its messages: HTTP requests with a known length, and the frames of a WebSocket after its upgrade.

/// Bytes that have come, and what they are a part of.
#[derive(Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    upgraded: bool,
}

/// A whole message.
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    /// Whether the server is asked to take events.
    pub(super) is_push: bool,
}

impl Messages {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, if it is there to its end.
    pub(super) fn next(&mut self) -> Option<Message> {
        let (length, text) = if self.upgraded { frame(&self.bytes)? } else { self.request()? };
        let rest = self.bytes.split_off(length);
        let bytes = std::mem::replace(&mut self.bytes, rest);
        let is_push =
            [&b"SyncWsRpc.Push"[..], b"SyncHttpRpc.Push"].iter().any(|tag| text.windows(tag.len()).any(|part| part == *tag));
        Some(Message { bytes, is_push })
    }

    fn request(&mut self) -> Option<(usize, Vec<u8>)> {
        let head = self.bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&self.bytes[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let end = head + length.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or(0);
        let body = self.bytes.get(head..end)?.to_vec();
        self.upgraded = text.contains("upgrade: websocket");
        Some((end, body))
    }
}

/// The length of the first frame, and what it says, unmasked (RFC 6455, 5.2).
fn frame(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let second = *bytes.get(1)?;
    let (mut at, length) = match second & 0x7f {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        length => (2, u64::from(length)),
    };
    let mask: [u8; 4] = if second & 0x80 == 0 {
        [0; 4]
    } else {
        at += 4;
        bytes.get(at - 4..at)?.try_into().ok()?
    };
    let end = at.checked_add(usize::try_from(length).ok()?)?;
    let payload = bytes.get(at..end)?;
    Some((end, payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_whole_and_pushes_are_told_apart() {
        let upgrade = b"GET /?a HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n";
        let post = b"POST / HTTP/1.1\r\nContent-Length: 27\r\n\r\n{\"tag\":\"SyncHttpRpc.Push\"}\n";
        let mut frame = vec![0x81, 0x80 | 22, 1, 2, 3, 4];
        frame.extend(b"{\"t\":\"SyncWsRpc.Push\"}".iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        let mut messages = Messages::default();
        let mut seen = Vec::new();
        for byte in [&post[..], upgrade, &frame, &frame].concat() {
            messages.feed(&[byte]);
            while let Some(message) = messages.next() {
                seen.push((message.bytes.len(), message.is_push));
            }
        }
        assert_eq!(seen, [(post.len(), true), (upgrade.len(), false), (frame.len(), true), (frame.len(), true)]);
    }
}
