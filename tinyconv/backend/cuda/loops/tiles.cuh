// Sums down the columns of matrices, and maps of them: how the work is cut, and how sums meet.
//
// Memory is `samples` matrices in C order. A block takes a tile of up to 32 vectors of WIDTH columns
// and walks down a range of rows, blockIdx = (tile of columns, range of rows, sample). Threads with
// the same threadIdx.x share columns, and what belongs to a column stays in their registers. Rows
// are loaded several at a time, so that as many loads are under way at once.
//
// Sums are taken in two stages: each block writes what it has found to a workspace, a second kernel
// puts blocks together. The order is always the same, and so are the bits.

constexpr int THREADS = 128, ROWS = WIDTH == 8 ? 4 : 8;

typedef Pack<T, WIDTH> Vector;

// What a sum of differences can be taken from.
__device__ inline float finite_or_0(float x) { return fabsf(x) < INFINITE ? x : 0; }

// A number of a vector of parameters, which are T or float.
__device__ inline float number(const void* vector, int is_float, int64 at, float otherwise) {
    if (!vector) return otherwise;
    if (is_float) return static_cast<const float*>(vector)[at];
    return to_float(static_cast<const T*>(vector)[at]);
}

// The same for WIDTH numbers from `at` on, at most 16 bytes at a time.
__device__ inline void read_numbers(float* to, const void* vector, int is_float, int64 at,
                                    float otherwise) {
    constexpr int PART = WIDTH < 4 ? WIDTH : 4;
    if (!vector) {
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) to[w] = otherwise;
    } else if (is_float) {
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            const float* from = static_cast<const float*>(vector) + at + w / PART * PART;
            to[w] = reinterpret_cast<const Pack<float, PART>*>(from)->at[w % PART];
        }
    } else {
        Vector from = *reinterpret_cast<const Vector*>(static_cast<const T*>(vector) + at);
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) to[w] = to_float(from.at[w]);
    }
}

// The columns of a thread, and its rows of one sample: first, first + blockDim.y, ... below end.
struct Place {
    int column, columns;
    int64 sample, first, end, base;  // base: number of the sample's first element

    __device__ Place(int64 s, int64 rows, int width, int64 step) : columns(width), sample(s) {
        column = int(blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
        int64 begin = int64(blockIdx.y) * step;
        first = begin + threadIdx.y;
        end = column < columns ? min(begin + step, rows) : 0;
        base = s * rows * columns;
    }
    __device__ int64 at(int64 row) const { return base + row * columns + column; }
};

template <int COUNT> struct Chunk { Vector at[COUNT]; };

// Load up to COUNT rows of this thread, from `row` on.
template <int COUNT>
__device__ inline void load(Chunk<COUNT>& to, const T* from, const Place& p, int64 row) {
#pragma unroll
    for (int k = 0; k < COUNT; ++k) {
        int64 r = row + k * int(blockDim.y);
        if (r < p.end) to.at[k] = *reinterpret_cast<const Vector*>(from + p.at(r));
    }
}

// Add up `own` over the threads that share columns, into those with threadIdx.y == 0.
template <class Sums> __device__ inline void add_rows_of_block(Sums& own) {
    __shared__ Sums slots[THREADS / 2];
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        int y = int(threadIdx.y);
        __syncthreads();  // what was here before has been read
        if (y >= half && y < 2 * half) slots[(y - half) * blockDim.x + threadIdx.x] = own;
        __syncthreads();
        if (y < half) own.add(slots[y * blockDim.x + threadIdx.x]);
    }
}

// A sum of each column.
template <int COUNT> struct Total {
    double of[COUNT];

    __device__ void clear() {
#pragma unroll
        for (int w = 0; w < COUNT; ++w) of[w] = 0;
    }
    __device__ void add(const Total& other) {
#pragma unroll
        for (int w = 0; w < COUNT; ++w) of[w] += other.of[w];
    }
};
