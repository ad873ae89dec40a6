//! Comparisons of 64 bytes at once, a bit for each byte: by AVX2 where the processor has it, else by SSE2 or NEON, else one by one.

/// 64 bytes.
pub(super) trait Lanes: Copy {
    fn load(block: &[u8; 64]) -> Self;

    /// The bytes that are `byte`.
    fn equal(self, byte: u8) -> u64;

    /// The bytes that are not above `byte`.
    fn at_most(self, byte: u8) -> u64;

    /// The bytes that are not ASCII.
    fn high(self) -> u64;

    /// All bytes with bit `0x20`: letters become lowercase, `[` and `]` become `{` and `}`.
    fn lowercase(self) -> Self;

    /// The bytes from `first` on, `count` of them.
    fn within(self, first: u8, last: u8) -> u64;

    /// For each bit the parity of the bits up to it.
    #[inline(always)]
    fn parity(bits: u64) -> u64 {
        [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |bits, shift| bits ^ bits << shift)
    }

    /// The bytes that may be behind a backslash.
    #[inline(always)]
    fn escapable(self) -> u64 {
        [b'"', b'\\', b'/', b'b', b'f', b'n', b'r', b't', b'u'].into_iter().fold(0, |bits, c| bits | self.equal(c))
    }
}

/// Whether [`Avx2`] may be used.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("lzcnt")
}

/// Two registers of AVX2: to be used only in code that is compiled for that, where [`has_avx2`].
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2([std::arch::x86_64::__m256i; 2]);

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use crate::json::validate::structure::lanes::{Avx2, Lanes};

    #[inline(always)]
    fn bits(of: [__m256i; 2]) -> u64 {
        // SAFETY: this code runs only where `has_avx2`.
        let [low, high] = of.map(|part| u64::from(unsafe { _mm256_movemask_epi8(part) } as u32));
        low | high << 32
    }

    impl Lanes for Avx2 {
        #[inline(always)]
        fn load(block: &[u8; 64]) -> Self {
            // SAFETY: this code runs only where `has_avx2`, and 64 bytes are there.
            unsafe {
                let at = block.as_ptr().cast::<__m256i>();
                Self([_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))])
            }
        }

        #[inline(always)]
        fn equal(self, byte: u8) -> u64 {
            // SAFETY: this code runs only where `has_avx2`.
            bits(self.0.map(|part| unsafe { _mm256_cmpeq_epi8(part, _mm256_set1_epi8(byte as i8)) }))
        }

        #[inline(always)]
        fn at_most(self, byte: u8) -> u64 {
            // SAFETY: this code runs only where `has_avx2`.
            bits(self.0.map(|part| unsafe {
                let most = _mm256_set1_epi8(byte as i8);
                _mm256_cmpeq_epi8(_mm256_max_epu8(part, most), most)
            }))
        }

        #[inline(always)]
        fn high(self) -> u64 {
            bits(self.0)
        }

        #[inline(always)]
        fn lowercase(self) -> Self {
            // SAFETY: this code runs only where `has_avx2`.
            Self(self.0.map(|part| unsafe { _mm256_or_si256(part, _mm256_set1_epi8(0x20)) }))
        }

        #[inline(always)]
        fn within(self, first: u8, last: u8) -> u64 {
            // SAFETY: this code runs only where `has_avx2`.
            Self(self.0.map(|part| unsafe { _mm256_sub_epi8(part, _mm256_set1_epi8(first as i8)) }))
                .at_most(last - first)
        }

        #[inline(always)]
        fn parity(bits: u64) -> u64 {
            // SAFETY: this code runs only where `has_avx2`, which asks for the carry-less product, too.
            unsafe {
                let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
                _mm_cvtsi128_si64(product) as u64
            }
        }

        #[inline(always)]
        fn escapable(self) -> u64 {
            // By the low four bits of a byte, the one that may be there; `b` and `r` share theirs with the quote.
            let found = self.0.map(|part| {
                // SAFETY: this code runs only where `has_avx2`.
                unsafe {
                    let table = _mm_setr_epi8(0, 0, 0x22, 0, 0x74, 0x75, 0x66, 0, 0, 0, 0, 0, 0x5c, 0, 0x6e, 0x2f);
                    let table = _mm256_broadcastsi128_si256(table);
                    _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, part), part)
                }
            });
            // A null byte equals what the table has for those that are not there.
            (bits(found) & !self.equal(0)) | self.equal(b'b') | self.equal(b'r')
        }
    }
}

/// Four registers of SSE2, which every such processor has.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Sse2([std::arch::x86_64::__m128i; 4]);

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::*;

    use crate::json::validate::structure::lanes::{Lanes, Sse2};

    #[inline(always)]
    fn bits(of: [__m128i; 4]) -> u64 {
        // SAFETY: SSE2 is part of x86_64.
        let [a, b, c, d] = of.map(|part| u64::from(unsafe { _mm_movemask_epi8(part) } as u16));
        a | b << 16 | c << 32 | d << 48
    }

    impl Lanes for Sse2 {
        #[inline(always)]
        fn load(block: &[u8; 64]) -> Self {
            let parts = [0, 16, 32, 48];
            // SAFETY: SSE2 is part of x86_64, and 64 bytes are there.
            Self(parts.map(|from| unsafe { _mm_loadu_si128(block.as_ptr().add(from).cast()) }))
        }

        #[inline(always)]
        fn equal(self, byte: u8) -> u64 {
            // SAFETY: SSE2 is part of x86_64.
            bits(self.0.map(|part| unsafe { _mm_cmpeq_epi8(part, _mm_set1_epi8(byte as i8)) }))
        }

        #[inline(always)]
        fn at_most(self, byte: u8) -> u64 {
            // SAFETY: SSE2 is part of x86_64.
            bits(self.0.map(|part| unsafe {
                let most = _mm_set1_epi8(byte as i8);
                _mm_cmpeq_epi8(_mm_max_epu8(part, most), most)
            }))
        }

        #[inline(always)]
        fn high(self) -> u64 {
            bits(self.0)
        }

        #[inline(always)]
        fn lowercase(self) -> Self {
            // SAFETY: SSE2 is part of x86_64.
            Self(self.0.map(|part| unsafe { _mm_or_si128(part, _mm_set1_epi8(0x20)) }))
        }

        #[inline(always)]
        fn within(self, first: u8, last: u8) -> u64 {
            // SAFETY: SSE2 is part of x86_64.
            Self(self.0.map(|part| unsafe { _mm_sub_epi8(part, _mm_set1_epi8(first as i8)) })).at_most(last - first)
        }
    }
}

/// Four registers of NEON, which every such processor has.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy)]
pub(super) struct Neon([std::arch::aarch64::uint8x16_t; 4]);

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use crate::json::validate::structure::lanes::{Lanes, Neon};

    /// One bit for each byte, of bytes that are all ones or all zeros.
    #[inline(always)]
    fn bits(of: [uint8x16_t; 4]) -> u64 {
        const WEIGHTS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
        // SAFETY: NEON is part of aarch64, and the weights are sixteen bytes.
        unsafe {
            let weights = vld1q_u8(WEIGHTS.as_ptr());
            let [a, b, c, d] = of.map(|part| vandq_u8(part, weights));
            let sums = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
            vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)))
        }
    }

    impl Lanes for Neon {
        #[inline(always)]
        fn load(block: &[u8; 64]) -> Self {
            // SAFETY: NEON is part of aarch64, and 64 bytes are there.
            Self([0, 16, 32, 48].map(|from| unsafe { vld1q_u8(block.as_ptr().add(from)) }))
        }

        #[inline(always)]
        fn equal(self, byte: u8) -> u64 {
            // SAFETY: NEON is part of aarch64.
            bits(self.0.map(|part| unsafe { vceqq_u8(part, vdupq_n_u8(byte)) }))
        }

        #[inline(always)]
        fn at_most(self, byte: u8) -> u64 {
            // SAFETY: NEON is part of aarch64.
            bits(self.0.map(|part| unsafe { vcleq_u8(part, vdupq_n_u8(byte)) }))
        }

        #[inline(always)]
        fn high(self) -> u64 {
            !self.at_most(0x7f)
        }

        #[inline(always)]
        fn lowercase(self) -> Self {
            // SAFETY: NEON is part of aarch64.
            Self(self.0.map(|part| unsafe { vorrq_u8(part, vdupq_n_u8(0x20)) }))
        }

        #[inline(always)]
        fn within(self, first: u8, last: u8) -> u64 {
            // SAFETY: NEON is part of aarch64.
            Self(self.0.map(|part| unsafe { vsubq_u8(part, vdupq_n_u8(first)) })).at_most(last - first)
        }
    }
}

/// 64 bytes, looked at one by one: for processors without the others, and what those are compared with.
#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[derive(Clone, Copy)]
pub(super) struct Portable([u8; 64]);

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
impl Portable {
    fn bits(self, is: impl Fn(u8) -> bool) -> u64 {
        self.0.iter().enumerate().fold(0, |bits, (at, byte)| bits | u64::from(is(*byte)) << at)
    }
}

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
impl Lanes for Portable {
    fn load(block: &[u8; 64]) -> Self {
        Self(*block)
    }

    fn equal(self, byte: u8) -> u64 {
        self.bits(|own| own == byte)
    }

    fn at_most(self, byte: u8) -> u64 {
        self.bits(|own| own <= byte)
    }

    fn high(self) -> u64 {
        self.bits(|own| !own.is_ascii())
    }

    fn lowercase(self) -> Self {
        Self(self.0.map(|own| own | 0x20))
    }

    fn within(self, first: u8, last: u8) -> u64 {
        self.bits(|own| (first..=last).contains(&own))
    }
}
