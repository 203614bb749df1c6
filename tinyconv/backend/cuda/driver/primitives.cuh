// What kernels are written in: the types, conversions and lane operations that CUDA C++ has no
// portable name for. Kernels hold no inline assembly; it all stands here. The compiler that runs
// on a user's machine (NVRTC) finds no system header, so this text includes none.

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef long long int64;
typedef unsigned long long uint64;

#define INFINITE __int_as_float(0x7f800000)
constexpr uint32 ALL_LANES = 0xffffffffu;

// Code for Blackwell takes a few registers more than for GPUs before it. Where there would not be
// enough, a multiprocessor holds half as many blocks, and each thread has more of them.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr bool BLACKWELL = true;
#else
constexpr bool BLACKWELL = false;
#endif
#define HALF_ON_BLACKWELL(blocks) (BLACKWELL ? ((blocks) + 1) / 2 : (blocks))

// ---- 16-bit floating point: storage only, sums are float ------------------------------------

struct bf16 { uint16 bits; };
struct f16 { uint16 bits; };

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __uint_as_float(uint32(x.bits) << 16); }
__device__ inline float to_float(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

template <class T> __device__ inline T from_float(float x);
template <> __device__ inline float from_float<float>(float x) { return x; }
template <> __device__ inline bf16 from_float<bf16>(float x) {  // to nearest, ties to even
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
template <> __device__ inline f16 from_float<f16>(float x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// ---- 16 bytes at a time ----------------------------------------------------------------------

template <class T, int N> struct alignas(sizeof(T) * N) Pack { T at[N]; };
template <class T> struct Lanes { static constexpr int count = 16 / sizeof(T); };

// ---- lanes of a warp --------------------------------------------------------------------------

template <class T> __device__ inline T shuffle_xor(T x, int lane_mask) {
    return __shfl_xor_sync(ALL_LANES, x, lane_mask);
}
template <class T> __device__ inline T shuffle_down(T x, int distance) {
    return __shfl_down_sync(ALL_LANES, x, distance);
}
template <class T> __device__ inline T shuffle(T x, int lane) {
    return __shfl_sync(ALL_LANES, x, lane);
}
__device__ inline uint32 ballot_warp(bool x) { return __ballot_sync(ALL_LANES, x); }

// ---- memory ----------------------------------------------------------------------------------

// Dynamic shared memory, as many bytes as the launch gives, 128-byte aligned.
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

// An address in shared memory, for what follows; bytes can be added to it.
typedef uint32 Shared;
__device__ inline Shared shared_address(const void* p) {
    return uint32(__cvta_generic_to_shared(p));
}
__device__ inline void store_shared(Shared to, uint16 x) {
    asm volatile("st.shared.u16 [%0], %1;" ::"r"(to), "h"(x) : "memory");
}

// ---- copies into shared memory that go on while the block computes ------------------------------

// Copy SIZE = 4, 8 or 16 bytes: `bytes` of them are read, and zeros fill the rest. `from` is aligned
// to SIZE, and may be any address where no byte is read.
template <int SIZE> __device__ inline void cp_async(Shared to, const void* from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                 ::"r"(to), "l"(from), "n"(SIZE), "r"(bytes) : "memory");
}
// 16 bytes go past the first-level cache.
__device__ inline void cp_async16(Shared to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
                 ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
template <> __device__ inline void cp_async<16>(Shared to, const void* from, int bytes) {
    cp_async16(to, from, bytes);
}
// All copies since the last commit of this thread are one group.
__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Wait until at most N groups of this thread, the newest, are under way.
template <int N> __device__ inline void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// ---- tensor cores: a warp multiplies small matrices ---------------------------------------------
//
// With g = lane / 4 and t = lane % 4, a lane holds of the 16 x 8 result d (and of c, added to it)
//
//     d[0], d[1]  row g, columns 2t, 2t+1         d[2], d[3]  row g+8, the same columns
//
// of a, in 32-bit registers of two 16-bit numbers (depth 16) or one of 32 bits (depth 8),
//
//     a[0] row g    a[1] row g+8    a[2], a[3] the same rows, second half of the depth
//
// and of b: b[0] column g, b[1] the second half of the depth. Along the depth, a register is number
// t of its half.

// Four 8 x 8 matrices of 16-bit numbers: lane i has the address of row i % 8 of matrix i / 8, and
// gets elements 2t, 2t+1 of row g of each. A row is 16 bytes, and so may be four 32-bit numbers, of
// which a lane gets number t.
__device__ inline void ldmatrix_x4(uint32* r, Shared row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row));
}
// The same, transposed: a lane gets elements g of rows 2t, 2t+1.
__device__ inline void ldmatrix_x4_trans(uint32* r, Shared row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row));
}

#define MMA(types)                                                                                 \
    asm volatile("mma.sync.aligned." types " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "       \
                 "{%0, %1, %2, %3};"                                                               \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
// Add the product of 16 x 16 (or 16 x 8) and 16 x 8 (8 x 8) numbers to d.
__device__ inline void mma_bf16_16816(float* d, const uint32* a, const uint32* b) {
    MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
}
__device__ inline void mma_f16_16816(float* d, const uint32* a, const uint32* b) {
    MMA("m16n8k16.row.col.f32.f16.f16.f32");
}
__device__ inline void mma_tf32_1688(float* d, const uint32* a, const uint32* b) {
    MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
}
#undef MMA

// Round to the 10 bits of TF32, to nearest, ties away from zero. Tensor cores cut the rest off.
__device__ inline uint32 to_tf32(float x) {
    uint32 y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
}
