// Philox-4x32-10: four random words as a function of a counter and a key; the same bits as
// `backend/reference/random.py`, which explains it.

struct Words { uint32 at[4]; };

__device__ inline Words philox_block(uint32 c0, uint32 c1, uint32 c2, uint32 c3, uint32 k0,
                                     uint32 k1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        uint32 high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        uint32 high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// Which draw: two words of the key and three of the counter, here or where `live` points.
// It is the last field of an argument struct, because it ends with 4 bytes of padding.
struct Draw {
    const uint32* live;
    uint32 here[5];

    __device__ uint32 word(int k) const { return live ? live[k] : here[k]; }
    __device__ Words block(uint32 number) const {
        return philox_block(number, word(2), word(3), word(4), word(0), word(1));
    }
};
