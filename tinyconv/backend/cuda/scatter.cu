// Scatter-add of rows that are sorted by where they go; `scatter.py` launches this.
//
// Rows of one index lie side by side. The thread at the first of them adds them all, in their order,
// so that sums come out the same every time: no atomics.

struct Scatter {
    const int64* index; const int64* order; const T* source; T* out;
    int64 rows, size; int columns;
};

extern "C" __global__ void scatter_add(const Scatter a) {
    int64 count = a.rows * a.columns, stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
        int64 first = i / a.columns, index = a.index[first];
        int column = int(i - first * a.columns);
        if (uint64(index) >= uint64(a.size)) continue;  // where there is nothing to add to
        if (first && a.index[first - 1] == index) continue;
        float sum = 0;
        for (int64 row = first; row < a.rows && a.index[row] == index; ++row)
            sum += to_float(a.source[a.order[row] * a.columns + column]);
        a.out[index * a.columns + column] = from_float<T>(sum);
    }
}
