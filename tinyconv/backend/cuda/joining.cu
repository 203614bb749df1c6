// Copies between a matrix and parts of its columns; `joining.py` launches this.
//
// A block takes some columns of one part, blockIdx = (columns, rows, part). A thread copies several
// rows at once, so that as many loads are under way.
//
// #define WIDTH    elements that are copied at once
//         GATHER   1 if parts are written to the matrix, 0 if they are read from it

constexpr int MOST = 16;  // as in joining.py
constexpr int AT_ONCE = 4;

struct Join {
    T* part[MOST];        // (rows, columns)
    int64 columns[MOST];
    int64 start[MOST];    // the first column in the matrix
    T* whole;             // (rows, wide)
    int64 rows, wide;
};

extern "C" __global__ void __launch_bounds__(256) join(const Join a) {
    typedef Pack<T, WIDTH> Vector;
    int64 columns = a.columns[blockIdx.z];
    int64 column = (int64(blockIdx.x) * blockDim.x + threadIdx.x) * WIDTH;
    if (column >= columns) return;
    T* part = a.part[blockIdx.z] + column;
    T* whole = a.whole + a.start[blockIdx.z] + column;
    auto inside = [&](int64 row) { return reinterpret_cast<Vector*>(part + row * columns); };
    auto outside = [&](int64 row) { return reinterpret_cast<Vector*>(whole + row * a.wide); };

    int64 step = int64(gridDim.y) * blockDim.y;
    for (int64 first = int64(blockIdx.y) * blockDim.y + threadIdx.y; first < a.rows;
         first += AT_ONCE * step) {
        Vector x[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) {
            int64 row = first + k * step;
            if (row < a.rows) x[k] = GATHER ? *inside(row) : *outside(row);
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) {
            int64 row = first + k * step;
            if (row < a.rows) *(GATHER ? outside(row) : inside(row)) = x[k];
        }
    }
}
