// Add up the slices of a product, in their order, and write the result. `product.py` launches this.
//
// Columns are channels of one tap after the other; in a line of the result a channel's taps are next
// to each other, and there may be fewer channels. A result without taps has one, of all columns.

struct Slices {
    const float* part;  // (stack, slices, rows, columns)
    const T* bias;      // `columns` numbers for each of the stack, or null
    T* y;
    const T* addend;    // laid out as y, or y itself: sums are added to it; or null
    int64 stack, rows, bias_step, y_pitch, y_step;  // from one line of y, and matrix, to the next
    int slices, columns, channels;
    float low, high;
};

extern "C" __global__ void add_slices(const Slices a) {
    int64 lines = a.stack * a.rows, length = a.rows * a.columns;
    int64 stride = int64(gridDim.x) * blockDim.x;
    int taps = a.columns / a.channels, kept = int(min(a.y_pitch / taps, int64(a.channels)));
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < lines * a.columns; i += stride) {
        int64 line = i / a.columns, which = line / a.rows;
        int column = int(i - line * a.columns), tap = column / a.channels;
        int channel = column - tap * a.channels;
        if (channel >= kept) continue;
        const float* part = a.part + which * (a.slices - 1) * length + i;
        T* to = a.y + which * a.y_step + (line - which * a.rows) * a.y_pitch +
                int64(channel) * taps + tap;
        float sum = a.addend ? to_float(a.addend[to - a.y]) : 0;
        for (int s = 0; s < a.slices; ++s) sum += part[s * length];
        if (a.bias) sum += to_float(a.bias[which * a.bias_step + column]);
        *to = from_float<T>(sum <= a.low ? a.low : sum >= a.high ? a.high : sum);
    }
}
