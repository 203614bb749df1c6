// Layer normalisation of the rows of a matrix; `layer_norm.py` launches these.
//
// A row belongs to a warp (blockDim.x == 32, several rows a block) or to a block. It is read from
// memory once; the second and third pass over it find it in cache. The first finds a number near the
// mean, the second mean and variance of differences from it, so that no digits are lost where the
// mean is large: a vector's numbers are added in float, everything beyond in float64.

struct LayerNorm {
    const T* x;   // [rows][size]
    const T* dy;
    T* out;
    double* mean;  // [rows]
    double* var;
    const void* weight;  // [size]: T or float, or null
    const void* bias;
    float* maps;    // [rows][3]: what normalises a row
    double* parts;  // [blocks][2][size]
    int64 rows, step;
    int size, weight_is_float, bias_is_float;
    double eps;
};

constexpr int ROW_THREADS = 512, GRADIENT_ROWS = ROWS / 2;

// (x - centre) * scale + shift is standardised.
struct Affine {
    float centre, scale, shift;

    __device__ Affine(double mean, double var, double eps) {
        centre = float(mean);
        scale = 1 / sqrtf(float(var + eps));
        shift = float(double(centre) - mean) * scale;
    }
    __device__ Affine(const float* map) : centre(map[0]), scale(map[1]), shift(map[2]) {}
    __device__ float operator()(float x) const { return fmaf(x - centre, scale, shift); }
};

// Return the sum over the threads of a row, in each of them.
template <class V> __device__ inline V add_row(V x) {
    return blockDim.x == 32 ? reduce_warp(x, Add()) : reduce_block(x, Add(), V(0));
}

__device__ inline Vector read(const T* x, int64 at) {
    return *reinterpret_cast<const Vector*>(x + at);
}

// Call `f(row)` for all rows of this thread's warp or block.
template <class F> __device__ inline void for_rows(const LayerNorm& a, F f) {
    int64 stride = int64(gridDim.x) * blockDim.y;
    for (int64 row = int64(blockIdx.x) * blockDim.y + threadIdx.y; row < a.rows; row += stride)
        f(row);
}

// Call `f(column)` for the vectors of a row that are this thread's.
template <class F> __device__ inline void for_columns(const LayerNorm& a, F f) {
    for (int c = threadIdx.x * WIDTH; c < a.size; c += blockDim.x * WIDTH) f(c);
}

extern "C" __global__ void __launch_bounds__(ROW_THREADS) layer_norm(const LayerNorm a) {
    for_rows(a, [&](int64 row) {
        const T* x = a.x + row * a.size;
        float first = finite_or_0(to_float(x[0])), near = 0;
        for_columns(a, [&](int c) {
            Vector v = read(x, c);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) near += to_float(v.at[w]) - first;
        });
        near = finite_or_0(first + add_row(near) / a.size);
        double sum = 0, squares = 0;  // of differences from `near`
        for_columns(a, [&](int c) {
            Vector v = read(x, c);
            float one = 0, two = 0;
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) {
                float apart = to_float(v.at[w]) - near;
                one += apart;
                two = fmaf(apart, apart, two);
            }
            sum += one, squares += two;
        });
        double rest = add_row(sum) / a.size, mean = near + rest;
        double var = add_row(squares) / a.size - rest * rest;
        if (var < 0) var = 0;
        if (threadIdx.x == 0) a.mean[row] = mean, a.var[row] = var;
        Affine f(mean, var, a.eps);
        for_columns(a, [&](int c) {
            Vector v = read(x, c);
            float weight[WIDTH], bias[WIDTH];
            read_numbers(weight, a.weight, a.weight_is_float, c, 1);
            read_numbers(bias, a.bias, a.bias_is_float, c, 0);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w)
                v.at[w] = from_float<T>(fmaf(f(to_float(v.at[w])), weight[w], bias[w]));
            *reinterpret_cast<Vector*>(a.out + row * a.size + c) = v;
        });
    });
}

// dx = (g - avg(g) - h * avg(g * h)) * scale, with h the standardised input and g = dy * weight.
extern "C" __global__ void __launch_bounds__(ROW_THREADS) row_gradients(const LayerNorm a) {
    for_rows(a, [&](int64 row) {
        Affine f(a.mean[row], a.var[row], a.eps);
        if (threadIdx.x == 0) {
            float* map = a.maps + 3 * row;
            map[0] = f.centre, map[1] = f.scale, map[2] = f.shift;
        }
        double plain = 0, product = 0;
        for_columns(a, [&](int c) {
            Vector x = read(a.x, row * a.size + c), dy = read(a.dy, row * a.size + c);
            float weight[WIDTH], one = 0, two = 0;
            read_numbers(weight, a.weight, a.weight_is_float, c, 1);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) {
                float g = to_float(dy.at[w]) * weight[w];
                one += g;
                two = fmaf(g, f(to_float(x.at[w])), two);
            }
            plain += one, product += two;
        });
        float average = float(add_row(plain) / a.size), slope = float(add_row(product) / a.size);
        for_columns(a, [&](int c) {
            Vector x = read(a.x, row * a.size + c), dy = read(a.dy, row * a.size + c);
            float weight[WIDTH];
            read_numbers(weight, a.weight, a.weight_is_float, c, 1);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) {
                float g = to_float(dy.at[w]) * weight[w], h = f(to_float(x.at[w]));
                dy.at[w] = from_float<T>((g - average - h * slope) * f.scale);
            }
            *reinterpret_cast<Vector*>(a.out + row * a.size + c) = dy;
        });
    });
}

// The sums of dy * h and of dy down the columns of each block of rows.
extern "C" __global__ void __launch_bounds__(THREADS, 4) column_gradients(const LayerNorm a) {
    Place p(0, a.rows, a.size, a.step);
    Total<2 * WIDTH> own;
    own.clear();
    for (int64 row = p.first; row < p.end; row += GRADIENT_ROWS * int(blockDim.y)) {
        Chunk<GRADIENT_ROWS> x, dy;
        load(x, a.x, p, row);
        load(dy, a.dy, p, row);
        float product[WIDTH] = {}, plain[WIDTH] = {};
#pragma unroll
        for (int k = 0; k < GRADIENT_ROWS; ++k) {
            int64 r = row + k * int(blockDim.y);
            if (r >= p.end) break;
            Affine f(a.maps + 3 * r);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) {
                float d = to_float(dy.at[k].at[w]);
                product[w] = fmaf(d, f(to_float(x.at[k].at[w])), product[w]);
                plain[w] += d;
            }
        }
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) own.of[w] += product[w], own.of[WIDTH + w] += plain[w];
    }
    add_rows_of_block(own);
    if (threadIdx.y != 0 || p.column >= a.size) return;
    double* to = a.parts + int64(blockIdx.y) * 2 * a.size + p.column;
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) to[w] = own.of[w], to[a.size + w] = own.of[WIDTH + w];
}
