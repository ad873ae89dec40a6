use super::*;

fn json(media: Media, body: &[u8]) -> String {
    String::from_utf8(read(media, body, 1 << 20, false).unwrap()).unwrap()
}
