// Random words; `random.py` launches these. A thread makes one block of four.

struct Random { uint32* out; int64 blocks; Draw draw; };

extern "C" __global__ void philox(const Random a) {
    int64 stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < a.blocks; i += stride) {
        Words words = a.draw.block(uint32(i));
        reinterpret_cast<Pack<uint32, 4>*>(a.out)[i] =
            {{words.at[0], words.at[1], words.at[2], words.at[3]}};
    }
}

// The words of one counter a row, which differ in the two words of `draws`.
struct RandomRows { uint32* out; const uint64* draws; int64 rows, blocks; uint32 key[2]; uint32 last; };

extern "C" __global__ void philox_rows(const RandomRows a) {
    int64 count = a.rows * a.blocks, stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
        int64 row = i / a.blocks;
        uint64 draw = a.draws[row];
        Words words = philox_block(uint32(i - row * a.blocks), uint32(draw), uint32(draw >> 32),
                                   a.last, a.key[0], a.key[1]);
        reinterpret_cast<Pack<uint32, 4>*>(a.out)[i] =
            {{words.at[0], words.at[1], words.at[2], words.at[3]}};
    }
}
