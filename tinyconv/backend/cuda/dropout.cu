// Dropout, dropout with a given mask, and masks; `dropout.py` launches these.

struct Kept { const T* x; const uint8* keep; T* out; int64 count; float scale; };

extern "C" __global__ void kept(const Kept a) {
    int64 stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < a.count; i += stride)
        a.out[i] = from_float<T>(a.keep[i] ? to_float(a.x[i]) * a.scale : 0.0f);
}

// Element `i` of the array, counted row by row, belongs to random word `i`, wherever it lies in
// memory. The axes are given in the order of memory, the last one moving fastest: how long each is,
// and by how much `i` grows along it. Unused ones come first and have length 1.
struct Dropout {
    const T* x; T* out; uint8* keep;
    int64 count, sizes[6], steps[6];
    uint32 last;  // kept where a word is at most this
    float scale;
    Draw draw;
};

extern "C" __global__ void dropout(const Dropout a) {
    int64 stride = int64(gridDim.x) * blockDim.x;
    for (int64 at = int64(blockIdx.x) * blockDim.x + threadIdx.x; at < a.count; at += stride) {
        int64 rest = at, i = 0;
#pragma unroll
        for (int axis = 5; axis > 0; --axis) {
            int64 outer = a.sizes[axis] == 1 ? rest : rest / a.sizes[axis];
            i += (rest - outer * a.sizes[axis]) * a.steps[axis];
            rest = outer;
        }
        i += rest * a.steps[0];
        Words words = a.draw.block(uint32(i >> 2));
        int part = int(i & 3);
        uint32 low = part & 1 ? words.at[1] : words.at[0];
        uint32 high = part & 1 ? words.at[3] : words.at[2];
        uint32 word = part & 2 ? high : low;
        bool keep = word <= a.last;
        a.keep[at] = keep;
        a.out[at] = from_float<T>(keep ? to_float(a.x[at]) * a.scale : 0.0f);
    }
}
