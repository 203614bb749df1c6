// Work on columns: what batch, group and instance normalisation do with channels-last memory.
//
// Memory is `samples` matrices with a row a pixel and a column a channel, cut into tiles as tiles.cuh
// says. `columns.py` launches these.
//
// The numbers that a thread loads at once are added in float, everything beyond in float64. Mean and
// variance are found by the formula of Chan, Golub and LeVeque (1983), with no number squared before
// a number near the mean is taken off: exact to a few roundings of the standard deviation, whatever
// the mean.

struct Columns {
    const T* x;
    const T* dy;
    const T* y;  // result that was clipped, or what is added to the result
    T* out;
    double* mean;  // [samples][groups], as var
    double* var;
    const void* weight;  // [channels], as bias: T or float, or null
    const void* bias;
    double* parts;  // [samples][blocks][2][channels]
    float* slopes;  // [samples][groups][2]
    double* sums;   // [samples][2][channels]: shares of the gradients of weight and bias, or
    float* dweight;  // [channels], as dbias: these gradients themselves
    float* dbias;
    float* running_mean;  // [channels], as running_var: averages to move, or null
    float* running_var;
    int64* batches;       // how many have been seen, or null
    int64 samples, rows, step;  // step: rows of a block
    int channels, groups, size, blocks;  // size: channels of a group; blocks: those of a sample
    int weight_is_float, bias_is_float, mask, training;
    double eps, momentum, correction;  // correction: makes a variance an unbiased one
    float low, high;
};

constexpr int MAP_ROWS = ROWS / 2;
// Where the gradient counts as 0: nowhere, where y is at a limit, where the result was.
enum { NO_MASK, MASK_OF_Y, MASK_OF_RESULT };

__device__ inline Place place(const Columns& a, int64 sample) {
    return Place(sample, a.rows, a.channels, a.step);
}

// ---- the vectors of a thread --------------------------------------------------------------------

// (x - centre) * scale + shift is the normalised input of one column. What rounding the mean to
// float leaves over is part of the shift.
struct Affine {
    float centre, scale, shift;

    __device__ float operator()(float x) const { return fmaf(x - centre, scale, shift); }
};

__device__ inline int64 group_of(const Columns& a, int64 sample, int column) {
    return sample * a.groups + (a.size == 1 ? column : column / a.size);
}

__device__ inline Affine affine(const Columns& a, int64 sample, int column) {
    int64 group = group_of(a, sample, column);
    double mean = a.mean[group];
    Affine f;
    f.centre = float(mean);
    f.scale = number(a.weight, a.weight_is_float, column, 1) / sqrtf(float(a.var[group] + a.eps));
    f.shift = fmaf(float(double(f.centre) - mean), f.scale, number(a.bias, a.bias_is_float, column, 0));
    return f;
}

__device__ inline void affines(Affine* to, const Columns& a, const Place& p) {
    if (p.column >= a.channels) return;
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) to[w] = affine(a, p.sample, p.column + w);
}

// ---- mean and variance -------------------------------------------------------------------------

// What putting two sets of numbers together needs of their counts; the first may be empty.
struct Shares {
    double mine, theirs, apart;

    __device__ Shares(double count, double other) {
        mine = count == 0 ? 0 : 1 / count, theirs = 1 / other;
        apart = count * other / (count + other);
    }
};

// Of several columns: how many numbers, their sums, and sums of squared differences from their mean.
template <int COUNT> struct Moments {
    double count, sum[COUNT], squares[COUNT];

    __device__ void clear() {
        count = 0;
#pragma unroll
        for (int w = 0; w < COUNT; ++w) sum[w] = squares[w] = 0;
    }
    __device__ void add(int w, double other_sum, double other_squares, const Shares& of) {
        double apart = sum[w] * of.mine - other_sum * of.theirs;
        squares[w] += other_squares + apart * apart * of.apart;
        sum[w] += other_sum;
    }
    __device__ void add(const Moments& other) {
        if (other.count == 0) return;
        Shares shares(count, other.count);
#pragma unroll
        for (int w = 0; w < COUNT; ++w) add(w, other.sum[w], other.squares[w], shares);
        count += other.count;
    }
};

// Add the first `count` rows of a chunk: two passes over registers.
__device__ inline void add_chunk(Moments<WIDTH>& to, const Chunk<ROWS>& x, int count) {
    float part = 1.0f / count;
    Shares shares(to.count, count);
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) {
        float centre = finite_or_0(to_float(x.at[0].at[w])), sum = 0, squares = 0;
#pragma unroll
        for (int k = 0; k < ROWS; ++k)
            if (k < count) sum += to_float(x.at[k].at[w]) - centre;
        float mean = sum * part;
#pragma unroll
        for (int k = 0; k < ROWS; ++k)
            if (k < count) {
                float apart = to_float(x.at[k].at[w]) - centre - mean;
                squares = fmaf(apart, apart, squares);
            }
        to.add(w, double(centre) * count + sum, squares, shares);
    }
    to.count += count;
}

// Write both sums of this block's columns to the workspace.
__device__ inline void write_parts(const Columns& a, const Place& p, const double* one,
                                   const double* two) {
    if (threadIdx.y != 0 || p.column >= a.channels) return;
    double* to = a.parts + (p.sample * a.blocks + blockIdx.y) * 2 * a.channels + p.column;
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) to[w] = one[w], to[a.channels + w] = two[w];
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) moments(const Columns a) {
    for (int64 s = blockIdx.z; s < a.samples; s += gridDim.z) {
        Place p = place(a, s);
        Moments<WIDTH> own;
        own.clear();
        for (int64 row = p.first; row < p.end; row += ROWS * int(blockDim.y)) {
            Chunk<ROWS> x;
            load(x, a.x, p, row);
            int left = int(min(p.end - row, int64(ROWS) * blockDim.y));
            add_chunk(own, x, (left + blockDim.y - 1) / blockDim.y);
        }
        add_rows_of_block(own);
        write_parts(a, p, own.sum, own.squares);
    }
}

// Move a running average towards a value.
__device__ inline void move(float* average, double value, double momentum) {
    *average = float(*average * (1 - momentum) + value * momentum);
}

// A block of threads (1, n) for each group of each sample: put its columns and blocks together.
extern "C" __global__ void __launch_bounds__(THREADS) merge_moments(const Columns a) {
    int64 sample = blockIdx.x / a.groups;
    int first = blockIdx.x % a.groups * a.size;
    Moments<1> own, more;
    own.clear();
    for (int i = threadIdx.y; i < a.blocks * a.size; i += blockDim.y) {
        int block = i / a.size, column = first + i % a.size;
        const double* part = a.parts + (sample * a.blocks + block) * 2 * a.channels + column;
        more.count = double(min(a.step, a.rows - block * a.step));
        more.sum[0] = part[0], more.squares[0] = part[a.channels];
        own.add(more);
    }
    add_rows_of_block(own);
    if (threadIdx.y != 0) return;
    double mean = own.sum[0] / own.count, var = own.squares[0] / own.count;
    a.mean[blockIdx.x] = mean, a.var[blockIdx.x] = var;
    if (a.running_mean) {  // of one sample whose groups are its channels
        move(a.running_mean + blockIdx.x, mean, a.momentum);
        move(a.running_var + blockIdx.x, var * a.correction, a.momentum);
    }
    if (a.batches && blockIdx.x == 0) *a.batches += 1;
}

// ---- forward -------------------------------------------------------------------------------------

// out = the normalised x, plus y if there is one, clipped to low and high. NaN stays NaN.
extern "C" __global__ void __launch_bounds__(THREADS) normalise(const Columns a) {
    for (int64 s = blockIdx.z; s < a.samples; s += gridDim.z) {
        Place p = place(a, s);
        Affine f[WIDTH];
        affines(f, a, p);
        for (int64 row = p.first; row < p.end; row += MAP_ROWS * int(blockDim.y)) {
            Chunk<MAP_ROWS> x, y;
            load(x, a.x, p, row);
            if (a.y) load(y, a.y, p, row);
#pragma unroll
            for (int k = 0; k < MAP_ROWS; ++k) {
                int64 r = row + k * int(blockDim.y);
                if (r >= p.end) break;
                Vector out;
#pragma unroll
                for (int w = 0; w < WIDTH; ++w) {
                    float value = f[w](to_float(x.at[k].at[w]));
                    if (a.y) value += to_float(y.at[k].at[w]);
                    value = value <= a.low ? a.low : value >= a.high ? a.high : value;
                    out.at[w] = from_float<T>(value);
                }
                *reinterpret_cast<Vector*>(a.out + p.at(r)) = out;
            }
        }
    }
}

// ---- gradient ------------------------------------------------------------------------------------

// Return dy, or 0 where the result was at a limit. A limit that is NaN is none.
template <int MASK>
__device__ inline float masked(const Columns& a, const Affine& f, float dy, float x, float y) {
    if (MASK == NO_MASK) return dy;
    float result = MASK == MASK_OF_Y ? y : f(x);
    return result <= a.low || result >= a.high ? 0.0f : dy;
}

// Sums of dy and of dy * (x - centre) of WIDTH columns.
template <int COUNT> struct Sums {
    double plain[COUNT], product[COUNT];

    __device__ void clear() {
#pragma unroll
        for (int w = 0; w < COUNT; ++w) plain[w] = product[w] = 0;
    }
    __device__ void add(const Sums& other) {
#pragma unroll
        for (int w = 0; w < COUNT; ++w)
            plain[w] += other.plain[w], product[w] += other.product[w];
    }
};

template <int MASK> __device__ inline void add_gradients(const Columns& a) {
    for (int64 s = blockIdx.z; s < a.samples; s += gridDim.z) {
        Place p = place(a, s);
        Affine f[WIDTH];
        affines(f, a, p);
        Sums<WIDTH> own;
        own.clear();
        for (int64 row = p.first; row < p.end; row += MAP_ROWS * int(blockDim.y)) {
            Chunk<MAP_ROWS> dy, x, y;
            load(dy, a.dy, p, row);
            load(x, a.x, p, row);
            if (MASK == MASK_OF_Y) load(y, a.y, p, row);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) {
                float plain = 0, product = 0;
#pragma unroll
                for (int k = 0; k < MAP_ROWS; ++k)
                    if (row + k * int(blockDim.y) < p.end) {
                        float at = to_float(x.at[k].at[w]);
                        float d = masked<MASK>(a, f[w], to_float(dy.at[k].at[w]), at,
                                               to_float(y.at[k].at[w]));
                        plain += d;
                        product = fmaf(d, at - f[w].centre, product);
                    }
                own.plain[w] += plain, own.product[w] += product;
            }
        }
        add_rows_of_block(own);
        write_parts(a, p, own.plain, own.product);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 3) gradient_sums(const Columns a) {
    if (a.mask == NO_MASK) add_gradients<NO_MASK>(a);
    else if (a.mask == MASK_OF_Y) add_gradients<MASK_OF_Y>(a);
    else add_gradients<MASK_OF_RESULT>(a);
}

// Threads (32, n) for each group of each sample: a warp adds up the blocks of a column. Writes slope
// and offset of the group, with dx = scale * dy + slope * (x - centre) + offset, and each column's
// share of the gradients of weight and bias, or these themselves if there is one sample.
extern "C" __global__ void __launch_bounds__(THREADS) merge_gradients(const Columns a) {
    int64 sample = blockIdx.x / a.groups;
    int first = blockIdx.x % a.groups * a.size;
    double mean = a.mean[blockIdx.x], rest = mean - float(mean);
    double inverse = rsqrt(a.var[blockIdx.x] + a.eps);
    Sums<1> of_group;
    of_group.clear();
    for (int column = first + threadIdx.y; column < first + a.size; column += blockDim.y) {
        double plain = 0, product = 0;
        for (int block = threadIdx.x; block < a.blocks; block += 32) {
            const double* part = a.parts + (sample * a.blocks + block) * 2 * a.channels + column;
            plain += part[0], product += part[a.channels];
        }
        for (int distance = 16; distance > 0; distance /= 2) {
            plain += shuffle_xor(plain, distance);
            product += shuffle_xor(product, distance);
        }
        product -= rest * plain;
        double weight = number(a.weight, a.weight_is_float, column, 1);
        of_group.plain[0] += weight * plain, of_group.product[0] += weight * product;
        if (threadIdx.x != 0) continue;
        if (a.dweight) {
            a.dweight[column] = float(product * inverse), a.dbias[column] = float(plain);
        } else {
            a.sums[sample * 2 * a.channels + column] = product * inverse;
            a.sums[(sample * 2 + 1) * a.channels + column] = plain;
        }
    }
    add_rows_of_block(of_group);
    if (threadIdx.x != 0 || threadIdx.y != 0) return;
    double part = -inverse / double(a.rows * a.size), slope = inverse * inverse * part * of_group.product[0];
    a.slopes[2 * int64(blockIdx.x)] = float(slope);
    a.slopes[2 * int64(blockIdx.x) + 1] = float(part * of_group.plain[0] - slope * rest);
}

// out = scale * dy + slope * (x - centre) + offset in training, else scale * dy.
template <int MASK> __device__ inline void map_gradients(const Columns& a) {
    bool needs_x = a.training || MASK == MASK_OF_RESULT;
    for (int64 s = blockIdx.z; s < a.samples; s += gridDim.z) {
        Place p = place(a, s);
        Affine f[WIDTH];
        float slope[WIDTH], offset[WIDTH];
        affines(f, a, p);
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            int64 group = p.column < a.channels ? group_of(a, s, p.column + w) : 0;
            slope[w] = a.slopes[2 * group], offset[w] = a.slopes[2 * group + 1];
        }
        for (int64 row = p.first; row < p.end; row += MAP_ROWS * int(blockDim.y)) {
            Chunk<MAP_ROWS> dy, x, y;
            load(dy, a.dy, p, row);
            if (needs_x) load(x, a.x, p, row);
            if (MASK == MASK_OF_Y) load(y, a.y, p, row);
#pragma unroll
            for (int k = 0; k < MAP_ROWS; ++k) {
                int64 r = row + k * int(blockDim.y);
                if (r >= p.end) break;
                Vector out;
#pragma unroll
                for (int w = 0; w < WIDTH; ++w) {
                    float at = to_float(x.at[k].at[w]);
                    float dx = f[w].scale * masked<MASK>(a, f[w], to_float(dy.at[k].at[w]), at,
                                                         to_float(y.at[k].at[w]));
                    if (a.training) dx += fmaf(at - f[w].centre, slope[w], offset[w]);
                    out.at[w] = from_float<T>(dx);
                }
                *reinterpret_cast<Vector*>(a.out + p.at(r)) = out;
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) gradient(const Columns a) {
    if (a.mask == NO_MASK) map_gradients<NO_MASK>(a);
    else if (a.mask == MASK_OF_Y) map_gradients<MASK_OF_Y>(a);
    else map_gradients<MASK_OF_RESULT>(a);
}
