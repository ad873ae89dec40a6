//! Where the head of a message ends, in bytes that come in pieces.

use memchr::memchr;

use super::Violation;

/// Looks for the end of a head. What has been looked at is not looked at again, however small the pieces are.
#[derive(Debug, Default)]
pub(crate) struct HeadEnd {
    /// Bytes of the head that have been looked at.
    searched: usize,
    /// Where the line begins that has not ended yet.
    line: usize,
    /// Where the first line ends, behind its line end; 0 before.
    first: usize,
}

impl HeadEnd {
    /// The size of the head that `data` begins with, and of its first line; `None` as long as it has not ended.
    ///
    /// A limit is in bytes: of the first line, and of all others, without line ends. The next call begins anew after an end.
    pub(crate) fn find(
        &mut self,
        data: &[u8],
        max_line: usize,
        max_headers: usize,
    ) -> Result<Option<(usize, usize)>, Violation> {
        while let Some(at) = data.get(self.searched..).and_then(|rest| memchr(b'\n', rest)) {
            let end = self.searched + at;
            if end == 0 || data[end - 1] != b'\r' {
                return Err(Violation::Malformed("a line does not end with CR LF"));
            }
            let empty = end - 1 == self.line;
            self.searched = end + 1;
            if self.first == 0 {
                if end - 1 > max_line {
                    return Err(Violation::LongLine(max_line));
                }
                self.first = end + 1;
            } else if empty {
                let found = (end + 1, self.first);
                *self = Self::default();
                return Ok(Some(found));
            }
            self.line = end + 1;
            self.check(end + 1, max_headers)?;
        }
        self.searched = data.len().max(self.searched);
        if self.first == 0 {
            // The line end may be here in half.
            if self.searched > max_line + 1 {
                return Err(Violation::LongLine(max_line));
            }
            return Ok(None);
        }
        self.check(self.searched, max_headers)?;
        Ok(None)
    }

    /// A first bound, with line ends counted as far as the shortest lines have them; the exact one is checked when the
    /// fields are known.
    fn check(&self, size: usize, max_headers: usize) -> Result<(), Violation> {
        let most = max_headers.saturating_mul(2).saturating_add(1024);
        if self.first != 0 && size.saturating_sub(self.first) > most {
            return Err(Violation::LongHeaders(max_headers));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(data: &[u8]) -> Result<Option<(usize, usize)>, Violation> {
        HeadEnd::default().find(data, 16, 32)
    }

    #[test]
    fn the_end_is_found_in_pieces_of_any_size() {
        let head = b"GET / HTTP/1.1\r\na: b\r\n\r\nrest";
        for step in 1..head.len() {
            let mut end = HeadEnd::default();
            let mut at = 0;
            let found = loop {
                at = (at + step).min(head.len());
                if let Some(found) = end.find(&head[..at], 64, 64).unwrap() {
                    break found;
                }
            };
            assert_eq!(found, (24, 16));
        }
    }

    #[test]
    fn limits_hold_before_the_end_is_here() {
        assert_eq!(find(b"GET /0123456789012"), Err(Violation::LongLine(16)));
        assert_eq!(find(b"0123456789012345\r\n"), Ok(None));
        assert_eq!(find(b"01234567890123456\r\n"), Err(Violation::LongLine(16)));
        let mut long = b"GET / HTTP/1.1\r\n".to_vec();
        long.extend(std::iter::repeat_n(b'a', 1100));
        assert_eq!(find(&long), Err(Violation::LongHeaders(32)));
    }

    #[test]
    fn a_bare_line_feed_is_no_line_end() {
        assert!(matches!(find(b"GET / HTTP/1.1\n"), Err(Violation::Malformed(_))));
        assert!(matches!(find(b"\n"), Err(Violation::Malformed(_))));
    }
}
