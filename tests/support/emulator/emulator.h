// CUDA C++ on a CPU: enough of the language that the real kernel sources run under g++.
//
// One block runs at a time. Each of its threads is a fiber with a stack of its own; a barrier or a
// warp collective is a point where a fiber gives way until all others have come. So a missing
// barrier, a wrong index or a read of memory that nobody wrote shows, on any machine: shared memory
// is NaN before each block, and the order of the fibers changes from round to round.

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <type_traits>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)
#define ASAN_UNPOISON_MEMORY_REGION(address, size)
#endif

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

// ---- contexts: a stack and a place to go on ------------------------------------------------------

#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)

// Save what a called function has to keep and the stack pointer; go on where `to` was left.
extern "C" void emulator_switch(void** from, void* const* to) __attribute__((visibility("hidden")));
asm(R"(
    .text
    .hidden emulator_switch
    .globl emulator_switch
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_switch, .-emulator_switch
)");

namespace emulator {
struct Context { void* top; };
inline void switch_context(Context& from, Context& to) { emulator_switch(&from.top, &to.top); }
inline void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
    void** top = reinterpret_cast<void**>(stack + size);  // a multiple of 16, as the ABI wants it
    *--top = nullptr;                                     // entry never returns
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;  // the six registers
    context.top = top;
}
}  // namespace emulator

#else

#include <ucontext.h>

namespace emulator {
struct Context { ucontext_t state; };
inline void switch_context(Context& from, Context& to) { swapcontext(&from.state, &to.state); }
inline void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
    getcontext(&context.state);
    context.state.uc_stack.ss_sp = stack, context.state.uc_stack.ss_size = size;
    context.state.uc_link = nullptr;
    makecontext(&context.state, entry, 0);
}
}  // namespace emulator

#endif

namespace emulator {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK = 512 * 1024;  // instrumented frames are large
#else
constexpr size_t STACK = 64 * 1024;
#endif
constexpr int WARP = 32, MOST = 1024;
constexpr uint64_t UNTOUCHED = 0x5afe5afe5afe5afe;
constexpr size_t SHARED = 227 * 1024, GUARD = 4096;  // bytes that a block may have; behind them

// What a fiber waits for.
enum Wait { NOTHING, BLOCK, LANES };

struct Fiber {
    Context context;
    dim3 index;
    bool done = true;
    int wait = NOTHING;
    const char* what = "";  // the barrier or collective it waits in, and where that stands
    const char* file = "";
    int line = 0;
};

struct Warp {
    uint64_t in[WARP], out[WARP];
    uint32_t arrived, came;  // lanes: so far, and at the meeting that `out` is of
};

static Fiber fibers[MOST];
static Warp warps[MOST / WARP];
static char* stacks;
static Context scheduler;
static int current;
static std::function<void()> body;
alignas(128) static unsigned char dynamic_shared[SHARED + GUARD];
static char failure[1024];
static unsigned blocks_run;

template <class... Values> inline void report(const char* format, Values... values) {
    if (failure[0]) return;
    int n = snprintf(failure, sizeof failure, "block (%u, %u, %u): ", blockIdx.x, blockIdx.y,
                     blockIdx.z);
    snprintf(failure + n, sizeof failure - n, format, values...);
}

// End the launch from inside a kernel.
inline void fail(const char* what) {
    report("thread (%u, %u, %u): %s", threadIdx.x, threadIdx.y, threadIdx.z, what);
    switch_context(fibers[current].context, scheduler);
}

inline uint64_t& bottom(int fiber) { return *reinterpret_cast<uint64_t*>(stacks + fiber * STACK); }

inline void give_way() {
    if (bottom(current) != UNTOUCHED) report("thread %d: its stack is full", current);
    switch_context(fibers[current].context, scheduler);
}

inline void entry() {
    body();
    fibers[current].done = true;
    give_way();
    abort();
}

inline void wait(Wait what, const char* name, const char* file, int line) {
    Fiber& self = fibers[current];
    self.wait = what, self.what = name, self.file = file, self.line = line;
    give_way();
}

inline void barrier(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    wait(BLOCK, "__syncthreads", file, line);
}

// Meet the other lanes of the warp, bring a number, and see what all have brought: `out` of the
// lanes in `came`, all bits set of the others.
inline const Warp& meet(uint64_t value, const char* name = __builtin_FUNCTION(),
                        const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    Warp& warp = warps[current / WARP];
    warp.in[current % WARP] = value;
    warp.arrived |= 1u << current % WARP;
    wait(LANES, name, file, line);
    return warp;
}

// Say where the threads of a range wait, a place a line.
inline void describe(int begin, int end, const char* why) {
    char text[900];
    int used = snprintf(text, sizeof text, "%s", why), returned = 0;
    bool told[MOST] = {};
    for (int i = begin; i < end; ++i) {
        Fiber& f = fibers[i];
        if (f.done) ++returned;
        if (f.done || told[i]) continue;
        int count = 0;
        for (int k = i; k < end; ++k) {
            Fiber& other = fibers[k];
            if (other.done || other.line != f.line || strcmp(other.what, f.what)) continue;
            told[k] = true, ++count;
        }
        const char* slash = strrchr(f.file, '/');
        if (used < int(sizeof text))
            used += snprintf(text + used, sizeof text - used, "\n  %d in %s, %s:%d, from (%u, %u, %u)",
                             count, f.what, slash ? slash + 1 : f.file, f.line, f.index.x,
                             f.index.y, f.index.z);
    }
    if (returned && used < int(sizeof text))
        snprintf(text + used, sizeof text - used, "\n  %d have returned", returned);
    report("%s", text);
}

inline bool same_place(int a, int b) {
    return fibers[a].line == fibers[b].line && !strcmp(fibers[a].what, fibers[b].what);
}

// Let the lanes of a warp go on if all of them have met; return whether they had.
inline bool release_lanes(int begin, int end) {
    bool all = true, same = true;
    int first = -1;
    for (int i = begin; i < end; ++i) {
        if (fibers[i].done) continue;
        if (first < 0) first = i;
        all &= fibers[i].wait == LANES;
        same &= !strcmp(fibers[first].what, fibers[i].what);
    }
    if (first < 0 || !all) return false;
    if (!same) describe(begin, end, "lanes of a warp meet in different collectives:");
    Warp& warp = warps[begin / WARP];
    for (int i = 0; i < WARP; ++i) warp.out[i] = warp.arrived >> i & 1 ? warp.in[i] : ~0ull;
    warp.came = warp.arrived, warp.arrived = 0;
    for (int i = begin; i < end; ++i) fibers[i].wait = NOTHING;
    return true;
}

// Let those fibers go on that have all they wait for; return whether there was one.
inline bool release(int threads) {
    bool any = false, all_at_barrier = true, same = true;
    int first = -1;
    for (int i = 0; i < threads; ++i) {
        if (fibers[i].done) continue;
        if (first < 0) first = i;
        all_at_barrier &= fibers[i].wait == BLOCK;
        same &= same_place(first, i);
    }
    if (first >= 0 && all_at_barrier) {
        if (!same) describe(0, threads, "threads of a block meet in different barriers:");
        for (int i = 0; i < threads; ++i) fibers[i].wait = NOTHING;
        return true;
    }
    for (int begin = 0; begin < threads; begin += WARP)
        any |= release_lanes(begin, std::min(begin + WARP, threads));
    return any;
}

extern "C" unsigned char __start_emulated_shared[] __attribute__((weak));
extern "C" unsigned char __stop_emulated_shared[] __attribute__((weak));

// All bits set is NaN in every floating-point type. A plain loop: the sanitizer, whose guards lie
// between the variables of the section, checks memset().
__attribute__((no_sanitize_address, optimize("no-tree-loop-distribute-patterns")))
inline void poison(unsigned char* begin, unsigned char* end) {
    for (; begin != end; ++begin) *begin = 0xff;
}

inline void start_block(int threads, unsigned shared) {
    ++blocks_run;
    if (__start_emulated_shared) poison(__start_emulated_shared, __stop_emulated_shared);
    poison(dynamic_shared, dynamic_shared + shared);
    for (int i = 0; i < threads; ++i) {
        Fiber& f = fibers[i];
        f.done = false, f.wait = NOTHING;
        f.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
        ASAN_UNPOISON_MEMORY_REGION(stacks + i * STACK, STACK);
        bottom(i) = UNTOUCHED;
        prepare(f.context, stacks + i * STACK, STACK, entry);
    }
    memset(warps, 0, sizeof warps);
}

// Under the sanitizer the bytes may not be touched at all.
inline void check_guard(unsigned shared) {
#if !defined(__SANITIZE_ADDRESS__)
    for (unsigned i = shared; i < shared + GUARD; ++i)
        if (dynamic_shared[i] != 0xff) {
            report("byte %u of dynamic shared memory was written, the launch gave %u", i, shared);
            return;
        }
#endif
}

// Run the fibers of a range that wait for nothing, in another order in every round: forwards and
// backwards, from another one on. Return whether there was one.
inline bool run_fibers(int begin, int end, int round) {
    bool ran = false;
    int count = end - begin;
    for (int k = 0; k < count && !failure[0]; ++k) {
        int i = (k + round * 7) % count;
        i = begin + (round & 1 ? count - 1 - i : i);
        Fiber& f = fibers[i];
        if (f.done || f.wait) continue;
        current = i, threadIdx = f.index, ran = true;
        switch_context(scheduler, f.context);
    }
    return ran;
}

// In every second block, a warp runs alone until it comes to a barrier of the block: it is far
// ahead of those that it should have waited for. In the others all warps keep step.
inline void run_block(int threads, unsigned shared, int round) {
    start_block(threads, shared);
    int together = blocks_run & 1 ? WARP : threads, parts = (threads + together - 1) / together;
    for (;; ++round) {
        bool ran = false, left = false;
        for (int k = 0; k < parts; ++k) {
            int part = (k + round) % parts, begin = (round & 1 ? parts - 1 - part : part) * together;
            int end = std::min(begin + together, threads);
            while (run_fibers(begin, end, round)) {
                ran = true;
                if (parts == 1 || failure[0] || !release_lanes(begin, end)) break;
            }
            if (failure[0]) return;
        }
        for (int i = 0; i < threads; ++i) left |= !fibers[i].done;
        if (!left) break;
        if (!release(threads) && !ran)
            describe(0, threads, "deadlock, threads wait for others that do not come:");
        if (failure[0]) return;
    }
    check_guard(shared);
}

template <class Arguments>
const char* run(void (*kernel)(Arguments), const void* arguments, const unsigned* grid,
                const unsigned* block, unsigned shared, int most) {
    if (shared > SHARED) return "more dynamic shared memory than a block may have";
    unsigned threads = block[0] * block[1] * block[2];
    if (threads == 0 || threads > MOST) return "a block has 1 to 1024 threads";
    if (int(threads) > most) return "more threads than its __launch_bounds__";
    if (!grid[0] || !grid[1] || !grid[2]) return "the grid is empty";
    if (grid[1] > 65535 || grid[2] > 65535) return "grid.y and grid.z are at most 65535";
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
    std::remove_const_t<Arguments> copy;
    memcpy(&copy, arguments, sizeof copy);
    body = [=] { kernel(copy); };
    if (!stacks) {  // pages that no fiber touches cost nothing
        void* made = mmap(nullptr, STACK * (MOST + 2), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (made == MAP_FAILED) return "no memory for the stacks";
        stacks = static_cast<char*>(made) + 2 * STACK;  // room for a frame that is too large
    }
    failure[0] = 0;
    ASAN_UNPOISON_MEMORY_REGION(dynamic_shared, sizeof dynamic_shared);
    poison(dynamic_shared + shared, dynamic_shared + shared + GUARD);
    ASAN_POISON_MEMORY_REGION(dynamic_shared + shared, sizeof dynamic_shared - shared);
    int round = 0;
    for (unsigned z = 0; z < grid[2]; ++z)
        for (unsigned y = 0; y < grid[1]; ++y)
            for (unsigned x = 0; x < grid[0]; ++x) {
                blockIdx = {x, y, z};
                run_block(threads, shared, round++);
                if (failure[0]) return failure;
            }
    return nullptr;
}

template <class Arguments> unsigned long long argument_bytes(void (*)(Arguments)) {
    return sizeof(Arguments);
}

}  // namespace emulator

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulator::barrier(file, line);
}
inline void __syncwarp(unsigned = 0xffffffffu, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
    emulator::meet(0, "__syncwarp", file, line);
}

// ---- the primitives of primitives.cuh, in plain C++ --------------------------------------------

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef long long int64;
typedef unsigned long long uint64;

#define INFINITE __int_as_float(0x7f800000)
constexpr uint32 ALL_LANES = 0xffffffffu;
constexpr bool BLACKWELL = false;
#define HALF_ON_BLACKWELL(blocks) (blocks)

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
template <class T>
inline T exchange(T x, int from, const char* name = __builtin_FUNCTION(),
                  const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    const Warp& warp = meet(to_bits(x), name, file, line);
    return from < 0 || from >= WARP ? x : from_bits<T>(warp.out[from]);
}
inline int lane() { return current % WARP; }
}  // namespace emulator

// Where a call stands, for messages.
#define PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()
template <class T> inline T shuffle_xor(T x, int mask, PLACE) {
    return emulator::exchange(x, emulator::lane() ^ mask, "shuffle_xor", file, line);
}
template <class T> inline T shuffle_down(T x, int distance, PLACE) {
    return emulator::exchange(x, emulator::lane() + distance, "shuffle_down", file, line);
}
template <class T> inline T shuffle(T x, int lane, PLACE) {
    return emulator::exchange(x, lane & 31, "shuffle", file, line);
}
inline uint32 ballot_warp(bool x, PLACE) {
    const emulator::Warp& warp = emulator::meet(x, "ballot", file, line);
    uint32 result = 0;
    for (int i = 0; i < emulator::WARP; ++i)
        result |= uint32(warp.came >> i & 1 && warp.out[i]) << i;
    return result;
}

template <class T> inline T atomicAdd(T* p, T x) { T old = *p; *p += x; return old; }
template <class T> inline T atomicMax(T* p, T x) { T old = *p; if (x > old) *p = x; return old; }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
// By Newton's method, from Winitzki's approximation.
inline float erfinvf(float y) {
    if (!(fabsf(y) < 1)) return fabsf(y) == 1 ? copysignf(INFINITY, y) : NAN;
    double a = 0.147, logarithm = log1p(-double(y) * y), half = 2 / (M_PI * a) + logarithm / 2;
    double x = copysign(sqrt(sqrt(half * half - logarithm / a) - half), double(y));
    for (int i = 0; i < 4; ++i) x -= (erf(x) - y) / (M_2_SQRTPI * exp(-x * x));
    return float(x);
}
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

template <class Operation>
inline void together(Share mine, Operation operation, const char* name, const char* file, int line) {
    mine.done = false;
    Share* volatile address = &mine;
    const Warp& warp = meet(to_bits(address), name, file, line);
    if (mine.done) return;
    if (warp.came != ~0u) fail("a lane is missing in an operation of its warp");
    Share* all[WARP];
    for (int i = 0; i < WARP; ++i) all[i] = from_bits<Share*>(warp.out[i]);
    operation(all);
    for (Share* share : all) share->done = true;
}

inline void load_matrices(uint32* r, Shared row, bool transposed, const char* file, int line) {
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
    }, "ldmatrix", file, line);
}

// `number(bits, i)` is number i of a register; there are EACH in one, so the depth is 8 * EACH.
template <int EACH, class Number>
inline void multiply_matrices(float* d, const uint32* a, const uint32* b, Number number,
                              const char* file, int line) {
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
    }, "mma", file, line);
}

}  // namespace emulator

inline void ldmatrix_x4(uint32* r, Shared row, PLACE) {
    emulator::load_matrices(r, row, false, file, line);
}
inline void ldmatrix_x4_trans(uint32* r, Shared row, PLACE) {
    emulator::load_matrices(r, row, true, file, line);
}
inline void mma_bf16_16816(float* d, const uint32* a, const uint32* b, PLACE) {
    auto number = [](uint32 bits, int i) { return to_float(bf16{uint16(bits >> 16 * i)}); };
    emulator::multiply_matrices<2>(d, a, b, number, file, line);
}
inline void mma_f16_16816(float* d, const uint32* a, const uint32* b, PLACE) {
    auto number = [](uint32 bits, int i) { return to_float(f16{uint16(bits >> 16 * i)}); };
    emulator::multiply_matrices<2>(d, a, b, number, file, line);
}
// Tensor cores do not see the last 13 bits.
inline void mma_tf32_1688(float* d, const uint32* a, const uint32* b, PLACE) {
    auto number = [](uint32 bits, int) { return __uint_as_float(bits & 0xffffe000u); };
    emulator::multiply_matrices<1>(d, a, b, number, file, line);
}

inline uint32 to_tf32(float x) {
    uint32 bits = __float_as_uint(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}
