// JSON ABI in Go: replaces the word "colour" by "color" wherever it stands in a document's text.
//
// GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -o replace_word.wasm replace_word.go
//
// A Go module is large (about 2 MB), takes seconds to compile at upload and milliseconds for its first document.
package main

import (
	"bytes"
	"unsafe"
)

var (
	// Kept in variables, so that the garbage collector leaves them where they are.
	buffers [][]byte
	answer  []byte
)

//go:wasmexport alloc
func alloc(n int32) unsafe.Pointer {
	buffer := make([]byte, n)
	buffers = append(buffers, buffer)
	return unsafe.Pointer(&buffer[0])
}

//go:wasmexport process
func process(document unsafe.Pointer, n int32) int64 {
	text := unsafe.Slice((*byte)(document), int(n))
	if !bytes.Contains(text, []byte("colour")) {
		return 0
	}
	answer = bytes.ReplaceAll(text, []byte("colour"), []byte("color"))
	return int64(uintptr(unsafe.Pointer(&answer[0])))<<32 | int64(len(answer))
}

func main() {}
