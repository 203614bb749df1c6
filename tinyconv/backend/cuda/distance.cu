// Distances of all vectors of one set to all of another, and their gradient, by the KIND of
// distance; `distance.py` launches these.
//
// A block has a tile of TILE x TILE results, and walks along what is summed over, TILE at a time,
// through shared memory, as for a product of matrices. What it finds there is added up by itself, so
// that a long sum keeps its digits.

enum Kind { COUNT, SUM, EUCLID, LARGEST, POWER, TIES };

struct Distances {
    const T* a;         // (pairs, rows, size)
    const T* b;         // (pairs, others, size)
    const T* grad;      // (pairs, rows, others), as what follows
    const T* distance;
    float* shares;      // of the gradient: what each of the elements gets that are the largest
    T* out;             // of the distances, or of the shape of a
    int64 pairs;
    int rows, others, size;
    float power, inverse;
};

constexpr int TILE = 32, SIDE = 16, EACH = TILE / SIDE;  // a thread has EACH x EACH results
typedef float Tile[TILE][TILE + 1];

// Copy a tile of a matrix (rows, columns), zeros from beyond its edges.
template <class V>
__device__ inline void load(Tile to, const V* from, int row, int rows, int column, int columns) {
    int lane = threadIdx.x % 32;
    for (int i = threadIdx.x / 32; i < TILE; i += SIDE * SIDE / 32) {
        bool inside = row + i < rows && column + lane < columns;
        to[i][lane] = inside ? to_float(from[int64(row + i) * columns + column + lane]) : 0.0f;
    }
}

// The place of a block's tile among those of `pairs` matrices (rows, columns).
struct Place {
    int64 pair;
    int row, column;
    __device__ Place(int64 tile, int rows, int columns) {
        int64 down = (rows + TILE - 1) / TILE, across = (columns + TILE - 1) / TILE;
        pair = tile / (down * across);
        row = int(tile / across % down) * TILE, column = int(tile % across) * TILE;
    }
    __device__ static int64 count(int64 pairs, int64 rows, int64 columns) {
        return pairs * ((rows + TILE - 1) / TILE) * ((columns + TILE - 1) / TILE);
    }
};

__device__ inline float sign(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x; }  // of NaN, NaN

// What an element adds to a distance, of which `whole` is known where ties are counted.
__device__ inline float term(float difference, float whole, float power) {
    float size = fabsf(difference);
    switch (KIND) {
        case COUNT: return fabsf(sign(difference));
        case EUCLID: return difference * difference;
        case POWER: return powf(size, power);
        case TIES: return size == whole ? 1.0f : 0.0f;
        default: return size;
    }
}

__device__ inline float added(float sum, float x) {
    return KIND != LARGEST ? sum + x : x > sum || x != x ? x : sum;  // NaN wins
}

extern "C" __global__ void __launch_bounds__(SIDE * SIDE) distances(const Distances a) {
    __shared__ Tile left, right;
    int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
    int64 tiles = Place::count(a.pairs, a.rows, a.others);
    for (int64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        Place p(tile, a.rows, a.others);
        float total[EACH][EACH] = {}, whole[EACH][EACH] = {};
        int64 at[EACH][EACH];
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
            for (int j = 0; j < EACH; ++j) {
                int row = p.row + y + i * SIDE, column = p.column + x + j * SIDE;
                bool inside = row < a.rows && column < a.others;
                at[i][j] = inside ? (p.pair * a.rows + row) * a.others + column : -1;
                if (KIND == TIES && inside) whole[i][j] = to_float(a.distance[at[i][j]]);
            }
        for (int k = 0; k < a.size; k += TILE) {
            float part[EACH][EACH] = {};
            __syncthreads();  // what was here before has been read
            load(left, a.a + p.pair * a.rows * a.size, p.row, a.rows, k, a.size);
            load(right, a.b + p.pair * a.others * a.size, p.column, a.others, k, a.size);
            __syncthreads();
            int depth = min(TILE, a.size - k);
#pragma unroll 4
            for (int d = 0; d < depth; ++d)
#pragma unroll
                for (int i = 0; i < EACH; ++i)
#pragma unroll
                    for (int j = 0; j < EACH; ++j) {
                        float difference = left[y + i * SIDE][d] - right[x + j * SIDE][d];
                        part[i][j] = added(part[i][j], term(difference, whole[i][j], a.power));
                    }
#pragma unroll
            for (int i = 0; i < EACH; ++i)
#pragma unroll
                for (int j = 0; j < EACH; ++j) total[i][j] = added(total[i][j], part[i][j]);
        }
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
            for (int j = 0; j < EACH; ++j) {
                float sum = total[i][j];
                if (at[i][j] < 0) continue;
                if (KIND == TIES) {
                    a.shares[at[i][j]] = to_float(a.grad[at[i][j]]) / sum;
                    continue;
                }
                if (KIND == EUCLID) sum = sqrtf(sum);
                if (KIND == POWER) sum = powf(sum, a.inverse);
                a.out[at[i][j]] = from_float<T>(sum);
            }
    }
}

// What a distance gives to the gradient of an element; `power` is one less than the distance's.
__device__ inline float slope(float difference, float weight, float whole, float power) {
    switch (KIND) {
        case SUM: return weight * sign(difference);
        case EUCLID: return weight * difference;
        case LARGEST: return weight * (fabsf(difference) == whole ? sign(difference) : 0.0f);
        default: {
            float size = fabsf(difference);
            return weight * (size == 0 ? 0.0f : copysignf(powf(size / whole, power), difference));
        }
    }
}

extern "C" __global__ void __launch_bounds__(SIDE * SIDE) distances_grad(const Distances a) {
    __shared__ Tile weight, whole, right;
    int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE, lane = threadIdx.x % 32;
    int64 tiles = Place::count(a.pairs, a.rows, a.size);
    for (int64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        Place p(tile, a.rows, a.size);
        float total[EACH][EACH] = {}, own[EACH][EACH] = {};
        int64 at[EACH][EACH], start = p.pair * a.rows * a.others;
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
            for (int k = 0; k < EACH; ++k) {
                int row = p.row + y + i * SIDE, column = p.column + x + k * SIDE;
                bool inside = row < a.rows && column < a.size;
                at[i][k] = inside ? (p.pair * a.rows + row) * a.size + column : -1;
                if (inside) own[i][k] = to_float(a.a[at[i][k]]);
            }
        for (int j = 0; j < a.others; j += TILE) {
            float part[EACH][EACH] = {};
            __syncthreads();  // what was here before has been read
            if (KIND == LARGEST) load(weight, a.shares + start, p.row, a.rows, j, a.others);
            else load(weight, a.grad + start, p.row, a.rows, j, a.others);
            load(right, a.b + p.pair * a.others * a.size, j, a.others, p.column, a.size);
            if (KIND != SUM) {
                load(whole, a.distance + start, p.row, a.rows, j, a.others);
                for (int i = threadIdx.x / 32; i < TILE; i += SIDE * SIDE / 32) {  // as it loads
                    if (whole[i][lane] == 0) weight[i][lane] = 0, whole[i][lane] = 1;
                    if (KIND == EUCLID) weight[i][lane] /= whole[i][lane];
                }
            }
            __syncthreads();
            int depth = min(TILE, a.others - j);
#pragma unroll 4
            for (int d = 0; d < depth; ++d)
#pragma unroll
                for (int i = 0; i < EACH; ++i)
#pragma unroll
                    for (int k = 0; k < EACH; ++k)
                        part[i][k] += slope(own[i][k] - right[d][x + k * SIDE],
                                            weight[y + i * SIDE][d], whole[y + i * SIDE][d], a.power);
#pragma unroll
            for (int i = 0; i < EACH; ++i)
#pragma unroll
                for (int k = 0; k < EACH; ++k) total[i][k] += part[i][k];
        }
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
            for (int k = 0; k < EACH; ++k)
                if (at[i][k] >= 0) a.out[at[i][k]] = from_float<T>(total[i][k]);
    }
}
