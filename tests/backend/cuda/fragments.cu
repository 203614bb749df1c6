// What a warp holds for its tensor cores, element by element as the PTX manual says.

struct Fragments { const T* a; const T* b; const float* c; float* d; };

constexpr int EACH = 4 / sizeof(T), HALF_DEPTH = 4 * EACH, DEPTH = 2 * HALF_DEPTH;

__device__ inline uint32 bits(float x) { return to_tf32(x); }
__device__ inline uint32 bits(bf16 x) { return x.bits; }
__device__ inline uint32 bits(f16 x) { return x.bits; }
__device__ inline void multiply(float* d, const uint32* a, const uint32* b, float) { mma_tf32_1688(d, a, b); }
__device__ inline void multiply(float* d, const uint32* a, const uint32* b, bf16) { mma_bf16_16816(d, a, b); }
__device__ inline void multiply(float* d, const uint32* a, const uint32* b, f16) { mma_f16_16816(d, a, b); }

// EACH numbers, `step` elements apart, in one register.
__device__ inline uint32 packed(const T* x, int step) {
    uint32 both = bits(x[0]);
    return EACH == 2 ? both | bits(x[step]) << 16 : both;
}

// d = a b + c, with a (16, DEPTH), b (DEPTH, 8) and c (16, 8) read from memory directly.
extern "C" __global__ void product(const Fragments f) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    uint32 a[4], b[2];
    for (int half = 0; half < 2; ++half) {
        int k = half * HALF_DEPTH + t * EACH;
        a[2 * half] = packed(f.a + g * DEPTH + k, 1);
        a[2 * half + 1] = packed(f.a + (g + 8) * DEPTH + k, 1);
        b[half] = packed(f.b + k * 8 + g, 8);
    }
    float d[4];
    for (int i = 0; i < 4; ++i) d[i] = f.c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    multiply(d, a, b, T{});
    for (int i = 0; i < 4; ++i) f.d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

// The 32 x 16 bytes of a, as four matrices, by way of shared memory; WAIT, COMMIT: what follows the
// copies. d gets the registers of every lane.
extern "C" __global__ void load(const Fragments f) {
    DYNAMIC_SHARED(memory);
    Shared row = shared_address(memory) + threadIdx.x * 16;
    cp_async16(row, reinterpret_cast<const unsigned char*>(f.a) + threadIdx.x * 16, BYTES);
    COMMIT;
    WAIT;
    __syncwarp();
    uint32 r[4];
    LOAD(r, row);
    for (int i = 0; i < 4; ++i) f.d[threadIdx.x * 4 + i] = __int_as_float(int(r[i]));
}
