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
__device__ inline uint32 ballot(bool x) { return __ballot_sync(ALL_LANES, x); }

// ---- memory ----------------------------------------------------------------------------------

// Dynamic shared memory, as many bytes as the launch gives, 128-byte aligned.
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
