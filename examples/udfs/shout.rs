//! Field ABI in Rust: upper-cases the field that the parameter `field` names.
//!
//! rustc --target wasm32-unknown-unknown --crate-type cdylib -C opt-level=s -C panic=abort -o shout.wasm shout.rs
#![no_std]

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn get_param_string(name: *const u8, name_len: i32, out: *mut u8, len: *mut i32) -> i32;
    fn get_field_string(ctx: i64, path: *const u8, path_len: i32, out: *mut u8, len: *mut i32) -> i32;
    fn set_field_string(ctx: i64, path: *const u8, path_len: i32, text: *const u8, len: i32) -> i32;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

#[unsafe(no_mangle)]
pub extern "C" fn filter(ctx: i64) -> i32 {
    let mut field = [0u8; 128];
    let mut field_len = field.len() as i32;
    let mut text = [0u8; 1024];
    let mut len = text.len() as i32;
    // SAFETY: every pointer is to a live buffer, and the lengths are theirs.
    unsafe {
        if get_param_string(b"field".as_ptr(), 5, field.as_mut_ptr(), &mut field_len) != 0 {
            return 1;
        }
        if get_field_string(ctx, field.as_ptr(), field_len, text.as_mut_ptr(), &mut len) == 1 {
            text[..len as usize].make_ascii_uppercase();
            set_field_string(ctx, field.as_ptr(), field_len, text.as_ptr(), len);
        }
    }
    1
}
