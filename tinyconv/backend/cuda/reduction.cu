// Sums down the columns of matrices, in the tiles of tiles.cuh; `reduction.py` launches these.
//
// What a thread loads at once is added in float, everything beyond in float64; a result is rounded
// once.

struct Reduction {
    const T* x;     // [samples][rows][columns]
    double* parts;  // [samples][blocks][columns]
    T* out;         // [samples][columns]
    int64 samples, rows, step;
    int columns, blocks;
};

// Write the sums of each block of rows to the workspace, or to the result if there is one block.
extern "C" __global__ void __launch_bounds__(THREADS, 4) column_sums(const Reduction a) {
    for (int64 s = blockIdx.z; s < a.samples; s += gridDim.z) {
        Place p(s, a.rows, a.columns, a.step);
        Total<WIDTH> own;
        own.clear();
        for (int64 row = p.first; row < p.end; row += ROWS * int(blockDim.y)) {
            Chunk<ROWS> x;
            load(x, a.x, p, row);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) {
                float sum = 0;
#pragma unroll
                for (int k = 0; k < ROWS; ++k)
                    if (row + k * int(blockDim.y) < p.end) sum += to_float(x.at[k].at[w]);
                own.of[w] += sum;
            }
        }
        add_rows_of_block(own);
        if (threadIdx.y != 0 || p.column >= a.columns) continue;
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            if (a.out) a.out[s * a.columns + p.column + w] = from_float<T>(float(own.of[w]));
            else a.parts[(s * a.blocks + blockIdx.y) * a.columns + p.column + w] = own.of[w];
        }
    }
}

// Put the blocks together; rows of `parts` are `blocks`, and a thread has one column.
extern "C" __global__ void __launch_bounds__(THREADS) add_parts(const Reduction a) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    for (int64 s = blockIdx.z; s < a.samples; s += gridDim.z) {
        Total<1> own;
        own.clear();
        if (column < a.columns)
            for (int block = threadIdx.y; block < a.blocks; block += blockDim.y)
                own.of[0] += a.parts[(s * a.blocks + block) * a.columns + column];
        add_rows_of_block(own);
        if (threadIdx.y == 0 && column < a.columns)
            a.out[s * a.columns + column] = from_float<T>(float(own.of[0]));
    }
}
