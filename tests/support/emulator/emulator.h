// CUDA C++ on a CPU: enough of the language that the real kernel sources run under g++.
//
// One block runs at a time. Each of its threads is a fiber with a stack of its own; a barrier or a
// warp collective is a point where a fiber gives way until all others have come. So a missing
// barrier, a wrong index or a read of memory that nobody wrote shows, on any machine.

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <type_traits>
#include <vector>

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static
// Shared memory is one section of the library, so that it can be poisoned before each block.
#define __shared__ static __attribute__((section("emulated_shared")))

struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

constexpr size_t STACK = 64 * 1024;
constexpr int WARP = 32;

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    dim3 index;
    bool done = true;
    int wait = 0;  // 0: can run, 1: at the barrier of the block, 2: at a meeting of its warp
};

struct Warp {
    uint64_t in[WARP], out[WARP];
    bool arrived[WARP];
};

static std::vector<Fiber> fibers;
static std::vector<Warp> warps;
static ucontext_t scheduler;
static int current;
static std::function<void()> body;
alignas(128) static unsigned char dynamic_shared[232 * 1024];
static char failure[256];
static unsigned blocks_run;

[[noreturn]] inline void fail(const char* what) {
    snprintf(failure, sizeof failure, "block (%u, %u, %u), thread (%u, %u, %u): %s", blockIdx.x,
             blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, what);
    setcontext(&scheduler);
    abort();
}

inline void give_way() {
    Fiber& self = fibers[current];
    swapcontext(&self.context, &scheduler);
}

inline void entry() {
    body();
    fibers[current].done = true;
    setcontext(&scheduler);
}

inline void barrier() {
    fibers[current].wait = 1;
    give_way();
}

// Meet the other lanes of the warp, bring a number, and see what all have brought.
inline const Warp& meet(uint64_t value) {
    Warp& warp = warps[current / WARP];
    warp.in[current % WARP] = value;
    warp.arrived[current % WARP] = true;
    fibers[current].wait = 2;
    give_way();
    return warp;
}

// Let those fibers go on that have all they wait for; return whether there was one.
inline bool release(int threads) {
    bool any = false, all_at_barrier = true, some = false;
    for (int i = 0; i < threads; ++i)
        if (!fibers[i].done) some = true, all_at_barrier &= fibers[i].wait == 1;
    if (some && all_at_barrier) {
        for (int i = 0; i < threads; ++i)
            if (!fibers[i].done) fibers[i].wait = 0;
        return true;
    }
    for (int w = 0; w * WARP < threads; ++w) {
        int lanes = threads - w * WARP < WARP ? threads - w * WARP : WARP;
        bool all = true, one = false;
        for (int i = 0; i < lanes; ++i) {
            Fiber& f = fibers[w * WARP + i];
            if (f.done) continue;
            one = true;
            all &= f.wait == 2;
        }
        if (!one || !all) continue;
        Warp& warp = warps[w];
        memcpy(warp.out, warp.in, sizeof warp.in);
        for (int i = 0; i < lanes; ++i) fibers[w * WARP + i].wait = 0;
        any = true;
    }
    return any;
}

extern "C" unsigned char __start_emulated_shared[] __attribute__((weak));
extern "C" unsigned char __stop_emulated_shared[] __attribute__((weak));

inline void run_block(int threads, int round) {
    ++blocks_run;
    if (__start_emulated_shared)
        memset(__start_emulated_shared, 0xff, __stop_emulated_shared - __start_emulated_shared);
    memset(dynamic_shared, 0xff, sizeof dynamic_shared);  // NaN in every floating-point type
    for (int i = 0; i < threads; ++i) {
        Fiber& f = fibers[i];
        f.done = false, f.wait = 0;
        f.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data();
        f.context.uc_stack.ss_size = f.stack.size();
        f.context.uc_link = nullptr;
        makecontext(&f.context, reinterpret_cast<void (*)()>(entry), 0);
    }
    for (;; ++round) {
        bool ran = false, left = false;
        for (int k = 0; k < threads; ++k) {
            int i = (k + round * 7) % threads;  // another order in every round
            Fiber& f = fibers[i];
            if (f.done || f.wait) continue;
            current = i, threadIdx = f.index, ran = true;
            swapcontext(&scheduler, &f.context);
            if (failure[0]) return;
        }
        for (int i = 0; i < threads; ++i) left |= !fibers[i].done;
        if (!left) return;
        if (!release(threads) && !ran) {
            snprintf(failure, sizeof failure,
                     "block (%u, %u, %u): deadlock, threads wait at different barriers", blockIdx.x,
                     blockIdx.y, blockIdx.z);
            return;
        }
    }
}

template <class Arguments>
const char* run(void (*kernel)(Arguments), const void* arguments, const unsigned* grid,
                const unsigned* block, unsigned shared) {
    if (shared > sizeof dynamic_shared) return "more dynamic shared memory than a GPU has";
    unsigned threads = block[0] * block[1] * block[2];
    if (threads == 0 || threads > 1024) return "a block has 1 to 1024 threads";
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
    if (gridDim.y > 65535 || gridDim.z > 65535) return "grid.y and grid.z are at most 65535";
    using Value = std::remove_const_t<Arguments>;
    Value copy;
    memcpy(&copy, arguments, sizeof copy);
    body = [=] { kernel(copy); };
    if (fibers.size() < threads) {
        fibers.resize(threads);
        for (Fiber& f : fibers) f.stack.resize(STACK);
    }
    warps.assign((threads + WARP - 1) / WARP, Warp{});
    failure[0] = 0;
    int round = 0;
    for (unsigned z = 0; z < grid[2]; ++z)
        for (unsigned y = 0; y < grid[1]; ++y)
            for (unsigned x = 0; x < grid[0]; ++x) {
                blockIdx = {x, y, z};
                run_block(threads, round++);
                if (failure[0]) return failure;
            }
    return nullptr;
}

template <class Arguments> unsigned long long argument_bytes(void (*)(Arguments)) {
    return sizeof(Arguments);
}

}  // namespace emulator

inline void __syncthreads() { emulator::barrier(); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulator::meet(0); }

// ---- the primitives of primitives.cuh, in plain C++ --------------------------------------------

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef long long int64;
typedef unsigned long long uint64;

constexpr float INFINITE = __builtin_huge_valf();
constexpr uint32 ALL_LANES = 0xffffffffu;

struct bf16 { uint16 bits; };
struct f16 { uint16 bits; };

inline float __uint_as_float(uint32 x) { float y; memcpy(&y, &x, 4); return y; }
inline uint32 __float_as_uint(float x) { uint32 y; memcpy(&y, &x, 4); return y; }
inline float __int_as_float(int x) { return __uint_as_float(uint32(x)); }
inline int __float_as_int(float x) { return int(__float_as_uint(x)); }

inline float to_float(float x) { return x; }
inline float to_float(bf16 x) { return __uint_as_float(uint32(x.bits) << 16); }
inline float to_float(f16 x) { _Float16 y; memcpy(&y, &x, 2); return float(y); }

template <class T> inline T from_float(float x);
template <> inline float from_float<float>(float x) { return x; }
template <> inline bf16 from_float<bf16>(float x) {
    uint32 u = __float_as_uint(x);
    if (x != x) return {0x7fff};
    return {uint16((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}
template <> inline f16 from_float<f16>(float x) {
    _Float16 y = _Float16(x);
    f16 z;
    memcpy(&z, &y, 2);
    return z;
}

template <class T, int N> struct alignas(sizeof(T) * N) Pack { T at[N]; };
template <class T> struct Lanes { static constexpr int count = 16 / sizeof(T); };

namespace emulator {
template <class T> inline uint64_t to_bits(T x) {
    static_assert(sizeof(T) <= 8);
    uint64_t bits = 0;
    memcpy(&bits, &x, sizeof x);
    return bits;
}
template <class T> inline T from_bits(uint64_t bits) { T x; memcpy(&x, &bits, sizeof x); return x; }
// What lane `from` has brought; its own number where there is no such lane.
template <class T> inline T exchange(T x, int from) {
    const Warp& warp = meet(to_bits(x));
    return from < 0 || from >= WARP ? x : from_bits<T>(warp.out[from]);
}
inline int lane() { return current % WARP; }
}  // namespace emulator

template <class T> inline T shuffle_xor(T x, int mask) {
    return emulator::exchange(x, emulator::lane() ^ mask);
}
template <class T> inline T shuffle_down(T x, int distance) {
    return emulator::exchange(x, emulator::lane() + distance);
}
template <class T> inline T shuffle(T x, int lane) { return emulator::exchange(x, lane & 31); }
inline uint32 ballot(bool x) {
    const emulator::Warp& warp = emulator::meet(x);
    uint32 result = 0;
    for (int i = 0; i < emulator::WARP; ++i) result |= uint32(warp.out[i] != 0) << i;
    return result;
}

template <class T> inline T atomicAdd(T* p, T x) { T old = *p; *p += x; return old; }
template <class T> inline T atomicMax(T* p, T x) { T old = *p; if (x > old) *p = x; return old; }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline uint32 __umulhi(uint32 x, uint32 y) { return uint32(uint64(x) * y >> 32); }
using std::max;
using std::min;

#define DYNAMIC_SHARED(name) unsigned char* name = emulator::dynamic_shared

typedef unsigned char* Shared;
inline Shared shared_address(const void* p) { return (Shared)p; }
inline void store_shared(Shared to, uint16 x) { memcpy(to, &x, 2); }

// ---- copies into shared memory: bytes land at the wait for them, and are NaN until then ----------

namespace emulator {
struct Copy { Shared to; const void* from; int size, bytes; };
struct Copies {
    unsigned block = 0;
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
};
// The copies of this thread that are under way.
inline Copies& copies() {
    static Copies of_thread[1024];
    Copies& mine = of_thread[current];
    if (mine.block != blocks_run) mine.open.clear(), mine.groups.clear(), mine.block = blocks_run;
    return mine;
}
}  // namespace emulator

template <int SIZE> inline void cp_async(Shared to, const void* from, int bytes) {
    static_assert(SIZE == 4 || SIZE == 8 || SIZE == 16);
    if (uintptr_t(to) % SIZE || uintptr_t(from) % SIZE || bytes < 0 || bytes > SIZE)
        emulator::fail("cp_async: misaligned, or too many bytes");
    memset(to, 0xff, SIZE);
    emulator::copies().open.push_back({to, from, SIZE, bytes});
}
inline void cp_async16(Shared to, const void* from, int bytes) { cp_async<16>(to, from, bytes); }
inline void cp_async_commit() {
    emulator::Copies& mine = emulator::copies();
    mine.groups.push_back(std::move(mine.open));
    mine.open.clear();
}
template <int N> inline void cp_async_wait() {
    auto& groups = emulator::copies().groups;
    while (groups.size() > N) {
        for (const emulator::Copy& copy : groups.front()) {
            memset(copy.to, 0, copy.size);
            if (copy.bytes) memcpy(copy.to, copy.from, copy.bytes);
        }
        groups.erase(groups.begin());
    }
}

// ---- tensor cores: who holds which element is said in primitives.cuh -----------------------------

namespace emulator {

// What one lane brings to an operation of its whole warp, which the first lane that goes on does
// for all, while the others still stand in it.
struct Share { const uint32* a; const uint32* b; float* d; uint32* r; Shared row; bool done; };

template <class Operation> inline void together(Share mine, Operation operation) {
    mine.done = false;
    Share* volatile address = &mine;
    const Warp& warp = meet(to_bits(address));
    if (mine.done) return;
    Share* all[WARP];
    for (int i = 0; i < WARP; ++i) {
        all[i] = from_bits<Share*>(warp.out[i]);
        if (!all[i] || warp.out[i] == ~0ull) fail("a lane is missing in an operation of its warp");
    }
    operation(all);
    for (Share* share : all) share->done = true;
}

inline void load_matrices(uint32* r, Shared row, bool transposed) {
    if (uintptr_t(row) % 16) fail("ldmatrix: misaligned");
    together({nullptr, nullptr, nullptr, r, row}, [=](Share** lanes) {
        for (int m = 0; m < 4; ++m) {
            uint16 matrix[8][8];
            for (int i = 0; i < 8; ++i) memcpy(matrix[i], lanes[m * 8 + i]->row, 16);
            for (int i = 0; i < WARP; ++i) {
                int g = i / 4, t = i % 4;
                uint32 low = transposed ? matrix[2 * t][g] : matrix[g][2 * t];
                uint32 high = transposed ? matrix[2 * t + 1][g] : matrix[g][2 * t + 1];
                lanes[i]->r[m] = low | high << 16;
            }
        }
    });
}

// `number(bits, i)` is number i of a register; there are EACH in one, so the depth is 8 * EACH.
template <int EACH, class Number>
inline void multiply_matrices(float* d, const uint32* a, const uint32* b, Number number) {
    together({a, b, d, nullptr, nullptr}, [=](Share** lanes) __attribute__((optimize("O3"))) {
        constexpr int HALF = 4 * EACH;
        float left[16][2 * HALF], right[2 * HALF][8];
        for (int i = 0; i < WARP; ++i) {
            int g = i / 4, t = i % 4;
            for (int e = 0; e < EACH; ++e)
                for (int h = 0; h < 2; ++h) {
                    int k = h * HALF + t * EACH + e;
                    left[g][k] = number(lanes[i]->a[2 * h], e);
                    left[g + 8][k] = number(lanes[i]->a[2 * h + 1], e);
                    right[k][g] = number(lanes[i]->b[h], e);
                }
        }
        for (int m = 0; m < 16; ++m) {
            float sums[8] = {};
            for (int k = 0; k < 2 * HALF; ++k)
                for (int n = 0; n < 8; ++n) sums[n] += left[m][k] * right[k][n];
            for (int n = 0; n < 8; ++n) lanes[m % 8 * 4 + n / 2]->d[m / 8 * 2 + n % 2] += sums[n];
        }
    });
}

}  // namespace emulator

inline void ldmatrix_x4(uint32* r, Shared row) { emulator::load_matrices(r, row, false); }
inline void ldmatrix_x4_trans(uint32* r, Shared row) { emulator::load_matrices(r, row, true); }
inline void mma_bf16_16816(float* d, const uint32* a, const uint32* b) {
    emulator::multiply_matrices<2>(d, a, b, [](uint32 bits, int i) {
        return to_float(bf16{uint16(bits >> 16 * i)});
    });
}
inline void mma_f16_16816(float* d, const uint32* a, const uint32* b) {
    emulator::multiply_matrices<2>(d, a, b, [](uint32 bits, int i) {
        return to_float(f16{uint16(bits >> 16 * i)});
    });
}
// Tensor cores do not see the last 13 bits.
inline void mma_tf32_1688(float* d, const uint32* a, const uint32* b) {
    emulator::multiply_matrices<1>(d, a, b, [](uint32 bits, int) {
        return __uint_as_float(bits & 0xffffe000u);
    });
}

inline uint32 to_tf32(float x) {
    uint32 bits = __float_as_uint(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}
