// One tile of a matrix product: a block adds up BM x BN sums, BK products of each at a time.
//
//     y[m, n] = sum over k of a[m, k] * b[k, n]
//
// An operand comes from wherever a loader finds it: a matrix, or the pixels that a convolution
// reads. A loader copies tile after tile into shared memory, STAGES of which are there at once: one
// is multiplied while the next ones are on their way. Convolution in all its directions and plain
// products differ in their loaders only (gather.cuh).
//
// #define T      float, bf16 or f16; sums are float
//         MATH   EXACT (float, no tensor cores), TF32 (float) or HALF (bf16, f16)
//         BM, BN, BK, STAGES   as above; WM, WN   what a warp takes of BM x BN

enum { EXACT, TF32, HALF };

constexpr int V = 16 / sizeof(T);  // elements of a chunk: what is copied, stored and swizzled
constexpr int WARPS_N = BN / WN, THREADS = BM / WM * WARPS_N * 32;
constexpr int SUMS = WM * WN / 32;  // of a lane
static_assert(BM % WM == 0 && BN % WN == 0 && WM % 16 == 0 && WN % 16 == 0 && BK % (2 * V) == 0);
static_assert(MATH != EXACT || WN % 32 == 0);
static_assert(MATH == HALF ? sizeof(T) == 2 : sizeof(T) == 4);

// How an operand lies in shared memory: as lines of chunks. If ALONG, the depth k runs along a
// line, and there are SIZE = BM (or BN) lines; else there are BK, and m (or n) runs along them.
// The chunks of a line change places (XOR with a number that depends on the line), so that eight
// lanes that read a column of chunks meet eight different groups of banks.
template <int SIZE, bool ALONG_> struct Lines {
    static constexpr bool ALONG = ALONG_;
    static constexpr int LINES = ALONG ? SIZE : BK, CHUNKS = (ALONG ? BK : SIZE) / V;
    static constexpr int BYTES = LINES * CHUNKS * 16;
    // A thread copies one chunk of every STEPth line.
    static constexpr int STEP = THREADS / CHUNKS, EACH = (LINES + STEP - 1) / STEP;
    static_assert(THREADS % CHUNKS == 0 && (CHUNKS & (CHUNKS - 1)) == 0);

    static __device__ inline int place(int line, int chunk) {
        int turn = MATH != HALF && !ALONG ? 2 * (line & 3)  // read number by number: see below
                   : CHUNKS >= 8 ? line & 7
                   : CHUNKS == 4 ? line >> 1 & 3
                                 : line >> 2 & 1;
        return (line * CHUNKS + (chunk ^ (turn & (CHUNKS - 1)))) * 16;
    }
    static __device__ inline int my_chunk() { return threadIdx.x % CHUNKS; }
    static __device__ inline int my_line(int i) { return threadIdx.x / CHUNKS + i * STEP; }
    static __device__ inline bool is_mine(int i) { return LINES % STEP == 0 || my_line(i) < LINES; }
};

// Copy N elements, or fill their place with zeros.
template <int N, class E> __device__ inline void copy(Shared to, const E* from, bool valid) {
    constexpr int BYTES = N * sizeof(E);
    if constexpr (BYTES >= 4) cp_async<BYTES>(to, from, valid ? BYTES : 0);
    else {  // the hardware has no such copy
        E x{};
        if (valid) x = *from;
        store_shared(to, x.bits);
    }
}

// Where this warp's part of the tile begins.
__device__ inline int warp_row() { return threadIdx.x / 32 / WARPS_N * WM; }
__device__ inline int warp_column() { return threadIdx.x / 32 % WARPS_N * WN; }

// ---- the products, without tensor cores ---------------------------------------------------------
//
// The 32 lanes of a warp are 4 x 8. A lane takes every fourth row (eighth column) where the depth
// runs along a line, else four neighbours at a time: both are 16-byte reads without conflicts.

template <bool ALONG, int LANES> __device__ inline int lane_index(int lane, int i) {
    return ALONG ? lane + LANES * i : i / 4 * 4 * LANES + lane * 4 + i % 4;
}

using Four = Pack<float, 4>;

__device__ inline const Four& four_at(const unsigned char* from, int place) {
    return *reinterpret_cast<const Four*>(from + place);
}

template <class A, class B>
__device__ inline void multiply_exact(float* sums, const unsigned char* a, const unsigned char* b) {
    constexpr int ROWS = WM / 4, COLUMNS = WN / 8;
    int lane = threadIdx.x % 32;
    // Numbers i of four rows (or columns) at depth k, or of four depths of one.
    auto left = [&](int i, int k) {
        int row = warp_row() + lane_index<A::ALONG, 4>(lane / 8, i);
        return four_at(a, A::ALONG ? A::place(row, k / 4) : A::place(k, row / 4));
    };
    auto right = [&](int j, int k) {
        int column = warp_column() + lane_index<B::ALONG, 8>(lane % 8, j);
        return four_at(b, B::ALONG ? B::place(column, k / 4) : B::place(k, column / 4));
    };
#pragma unroll
    for (int first = 0; first < BK; first += 4) {
        float rows[ROWS][4];
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            Four four = left(A::ALONG ? i : i / 4 * 4, A::ALONG ? first : first + i % 4);
#pragma unroll
            for (int e = 0; e < 4; ++e) (A::ALONG ? rows[i][e] : rows[i / 4 * 4 + e][i % 4]) = four.at[e];
        }
        // One column at four depths at a time, or four columns at one depth.
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
            Four four = right(B::ALONG ? j : j / 4 * 4, B::ALONG ? first : first + j % 4);
#pragma unroll
            for (int i = 0; i < ROWS; ++i)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    int column = B::ALONG ? j : j / 4 * 4 + e;
                    sums[i * COLUMNS + column] += rows[i][B::ALONG ? e : j % 4] * four.at[e];
                }
        }
    }
}

// ---- the products, with tensor cores -------------------------------------------------------------
//
// One mma takes two chunks of the depth. Who holds what is said in primitives.cuh.

// Numbers of 32 bits cannot be transposed by ldmatrix: lanes read number by number. Four lines and
// eight neighbours in each lie in 32 different banks.
template <class Operand>
__device__ inline uint32 read_number(const unsigned char* from, int line, int at) {
    return *reinterpret_cast<const uint32*>(from + Operand::place(line, at / V) + at % V * 4);
}

// 16 rows of A, from `row` on.
template <class A>
__device__ inline void read_left(uint32* r, const unsigned char* a, int row, int step) {
    int lane = threadIdx.x % 32;
    if constexpr (A::ALONG) {
        ldmatrix_x4(r, shared_address(a + A::place(row + lane % 16, 2 * step + lane / 16)));
    } else if constexpr (MATH == HALF) {
        int line = step * 2 * V + lane % 8 + lane / 16 * 8;
        ldmatrix_x4_trans(r, shared_address(a + A::place(line, row / V + lane / 8 % 2)));
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i)
            r[i] = read_number<A>(a, step * 8 + i / 2 * 4 + lane % 4, row + i % 2 * 8 + lane / 4);
    }
}

// 16 columns of B, from `column` on: two registers for the first eight, two for the others.
template <class B>
__device__ inline void read_right(uint32* r, const unsigned char* b, int column, int step) {
    int lane = threadIdx.x % 32;
    if constexpr (B::ALONG) {
        int line = column + lane % 8 + lane / 16 * 8;
        ldmatrix_x4(r, shared_address(b + B::place(line, 2 * step + lane / 8 % 2)));
    } else if constexpr (MATH == HALF) {
        int line = step * 2 * V + lane % 16;
        ldmatrix_x4_trans(r, shared_address(b + B::place(line, column / V + lane / 16)));
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i)
            r[i] = read_number<B>(b, step * 8 + i % 2 * 4 + lane % 4, column + i / 2 * 8 + lane / 4);
    }
}

// The last argument says what the numbers are.
__device__ inline void mma(float* d, const uint32* a, const uint32* b, bf16) { mma_bf16_16816(d, a, b); }
__device__ inline void mma(float* d, const uint32* a, const uint32* b, f16) { mma_f16_16816(d, a, b); }
__device__ inline void mma(float* d, const uint32* a, const uint32* b, float) { mma_tf32_1688(d, a, b); }

// Of the steps of a tile the compiler may mix the numbers, but on Blackwell it would take more
// registers than there are.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
#define STEP_BY_STEP _Pragma("unroll 1")
#else
#define STEP_BY_STEP _Pragma("unroll")
#endif

template <class A, class B>
__device__ inline void multiply_mma(float* sums, const unsigned char* a, const unsigned char* b) {
    constexpr int ROWS = WM / 16, COLUMNS = WN / 8;
    STEP_BY_STEP
    for (int step = 0; step < BK / (2 * V); ++step) {
        uint32 left[ROWS][4], right[COLUMNS][2];
#pragma unroll
        for (int i = 0; i < ROWS; ++i) read_left<A>(left[i], a, warp_row() + i * 16, step);
#pragma unroll
        for (int j = 0; j < COLUMNS; j += 2)
            read_right<B>(right[j], b, warp_column() + j * 8, step);
        if constexpr (MATH == TF32) {
#pragma unroll
            for (int i = 0; i < ROWS * 4; ++i)
                left[i / 4][i % 4] = to_tf32(__uint_as_float(left[i / 4][i % 4]));
#pragma unroll
            for (int j = 0; j < COLUMNS * 2; ++j)
                right[j / 2][j % 2] = to_tf32(__uint_as_float(right[j / 2][j % 2]));
        }
#pragma unroll
        for (int i = 0; i < ROWS; ++i)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j)
                mma(sums + (i * COLUMNS + j) * 4, left[i], right[j], T{});
    }
}

// ---- the loop over the depth ----------------------------------------------------------------------

template <class A, class B>
__device__ inline void multiply(float* sums, unsigned char* memory, A& a, B& b, int tiles) {
    constexpr int STAGE = A::BYTES + B::BYTES;
    auto fetch = [&](int slot) {
        Shared to = shared_address(memory + slot * STAGE);
        a.copy_tile(to);
        b.copy_tile(to + A::BYTES);
    };
#pragma unroll
    for (int i = 0; i < SUMS; ++i) sums[i] = 0;
#pragma unroll 1
    for (int i = 0; i < STAGES - 1; ++i) {
        if (i < tiles) fetch(i);
        cp_async_commit();
    }
    int slot = 0, free = STAGES - 1;
#pragma unroll 1
    for (int i = 0; i < tiles; ++i) {
        cp_async_wait<STAGES - 2>();  // this thread's part of tile i has landed
        __syncthreads();              // everyone's has, and nobody reads tile i - 1 any more
        if (i + STAGES - 1 < tiles) fetch(free);
        cp_async_commit();  // also if nothing was copied: the wait above counts
        const unsigned char* tile = memory + slot * STAGE;
        if constexpr (MATH == EXACT) multiply_exact<A, B>(sums, tile, tile + A::BYTES);
        else multiply_mma<A, B>(sums, tile, tile + A::BYTES);
        free = slot;
        slot = slot + 1 == STAGES ? 0 : slot + 1;
    }
}

// ---- the end: bias, limits, and the way to memory ---------------------------------------------------

// Call f(i, row, column) for each of a lane's sums; sums 2i, 2i+1 are neighbours with tensor cores.
template <class A, class B, class F> __device__ inline void each_sum(F f) {
    int lane = threadIdx.x % 32;
    if constexpr (MATH == EXACT) {
        constexpr int COLUMNS = WN / 8;
#pragma unroll
        for (int i = 0; i < SUMS; ++i)
            f(i, warp_row() + lane_index<A::ALONG, 4>(lane / 8, i / COLUMNS),
              warp_column() + lane_index<B::ALONG, 8>(lane % 8, i % COLUMNS));
    } else {
        constexpr int COLUMNS = WN / 8;
#pragma unroll
        for (int i = 0; i < SUMS; ++i)
            f(i, warp_row() + i / 4 / COLUMNS * 16 + i % 4 / 2 * 8 + lane / 4,
              warp_column() + i / 4 % COLUMNS * 8 + lane % 4 * 2 + i % 2);
    }
}

// Where results go. `rows` and `columns` are what is left of the result from this tile on.
struct End {
    const T* bias;  // from the first column of this tile on, or null
    float low, high;
    int rows, columns;
    bool whole;  // every row of the result begins at a multiple of 16 bytes
    bool add;    // results are added to what stands `away` elements from where they go
    int64 away;
};

constexpr int PITCH = BN + 8;  // elements of a line of results in shared memory: no bank conflicts

// Write the sums of a part of the depth as they are: `to` is this tile's place in the workspace.
template <class A, class B>
__device__ inline void write_part(const float* sums, float* to, int pitch, const End& end) {
    each_sum<A, B>([&](int i, int row, int column) {
        if (row < end.rows && column < end.columns) to[int64(row) * pitch + column] = sums[i];
    });
}

// Put results into shared memory, in lines of PITCH elements.
template <class A, class B>
__device__ inline void stage(float* sums, T* staged, const End& end) {
    each_sum<A, B>([&](int i, int row, int column) {
        float x = sums[i];
        if (end.bias && column < end.columns) x += to_float(end.bias[column]);
        sums[i] = x <= end.low ? end.low : x >= end.high ? end.high : x;
    });
    each_sum<A, B>([&](int i, int row, int column) {
        T* to = staged + row * PITCH + column;
        if constexpr (MATH == EXACT) *to = from_float<T>(sums[i]);
        else if (i % 2 == 0)
            *reinterpret_cast<Pack<T, 2>*>(to) = {from_float<T>(sums[i]), from_float<T>(sums[i + 1])};
    });
    __syncthreads();
}

// Write results, by way of shared memory, in lines of 16 bytes a thread; `line(row)` is where those
// of a row go.
template <class A, class B, class F>
__device__ inline void write(float* sums, unsigned char* memory, const End& end, F line) {
    T* staged = reinterpret_cast<T*>(memory);
    // Call f(place in shared memory, where that goes, how many elements there are) chunk by chunk.
    auto each_chunk = [&](auto f) {
        for (int i = threadIdx.x; i < BM * BN / V; i += THREADS) {
            int row = i / (BN / V), column = i % (BN / V) * V;
            if (row < end.rows && column < end.columns)
                f(staged + row * PITCH + column, line(row) + column, min(end.columns - column, V));
        }
    };
    __syncthreads();  // the last tile has been multiplied
    if (end.add) {
        each_chunk([&](T* at, const T* to, int count) {
            const T* from = to + end.away;
            if (end.whole) cp_async<16>(shared_address(at), from, 16);
            else
                for (int k = 0; k < count; ++k) at[k] = from[k];
        });
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        each_sum<A, B>([&](int i, int row, int column) {
            sums[i] += to_float(staged[row * PITCH + column]);
        });
    }
    stage<A, B>(sums, staged, end);
    each_chunk([&](const T* at, T* to, int count) {
        const Pack<T, V> chunk = *reinterpret_cast<const Pack<T, V>*>(at);
        if (end.whole) *reinterpret_cast<Pack<T, V>*>(to) = chunk;
        else
            for (int k = 0; k < count; ++k) to[k] = chunk.at[k];
    });
}

// ---- which tile a block takes -----------------------------------------------------------------------

struct Place { int64 row; int column; };

__device__ inline unsigned tiles_of(int64 rows, int columns) {
    return unsigned((rows + BM - 1) / BM) * ((columns + BN - 1) / BN);
}

// Blocks that run at the same time take tiles of 8 rows of tiles, so that they share both operands
// in the second-level cache.
__device__ inline Place my_tile(int64 rows, int columns) {
    unsigned down = unsigned((rows + BM - 1) / BM), across = (columns + BN - 1) / BN;
    unsigned band = blockIdx.x / (8 * across), inside = blockIdx.x % (8 * across);
    unsigned height = min(down - band * 8, 8u);
    return {int64(band * 8 + inside % height) * BM, int(inside / height) * BN};
}
