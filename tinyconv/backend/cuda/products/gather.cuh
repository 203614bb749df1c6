// Loaders: where the operands of a product (product.cuh) come from. Depths, rows and columns
// outside an operand are filled with zeros.
//
// #define VEC_A, VEC_B   elements of the operands that may be copied at once, as alignment allows
//         MASKED         1 if kernels are narrow and x has less than 2^31 elements

// ---- matrices ---------------------------------------------------------------------------------------

// SIZE lines of a matrix along which the depth runs. `from` is where the tile begins; `lines` and
// `depth` are how many there are from there on.
template <int SIZE, int VEC> struct AlongDepth : Lines<SIZE, true> {
    using L = Lines<SIZE, true>;
    const T* from;
    int64 step;
    int lines, depth;  // left of this thread's first ones

    __device__ inline AlongDepth(const T* from_, int64 pitch, int64 lines_, int depth_)
        : from(from_ + L::my_line(0) * pitch + L::my_chunk() * V),
          step(L::STEP * pitch),
          lines(int(min(lines_, int64(SIZE))) - L::my_line(0)),
          depth(depth_ - L::my_chunk() * V) {}

    __device__ inline void copy_tile(Shared to) {
#pragma unroll
        for (int i = 0; i < L::EACH; ++i) {
            if (!L::is_mine(i)) break;
            Shared at = to + L::place(L::my_line(i), L::my_chunk());
#pragma unroll
            for (int e = 0; e < V; e += VEC)
                copy<VEC>(at + e * sizeof(T), from + i * step + e, i * L::STEP < lines && e < depth);
        }
        from += BK, depth -= BK;
    }
};

// SIZE columns of a matrix with one depth a line.
template <int SIZE, int VEC> struct AcrossDepth : Lines<SIZE, false> {
    using L = Lines<SIZE, false>;
    const T* from;
    int64 pitch;
    int columns, depth;

    __device__ inline AcrossDepth(const T* from_, int64 pitch_, int64 columns_, int depth_)
        : from(from_ + L::my_line(0) * pitch_ + L::my_chunk() * V),
          pitch(pitch_),
          columns(int(min(columns_, int64(SIZE))) - L::my_chunk() * V),
          depth(depth_ - L::my_line(0)) {}

    __device__ inline void copy_tile(Shared to) {
#pragma unroll
        for (int i = 0; i < L::EACH; ++i) {
            if (!L::is_mine(i)) break;
            Shared at = to + L::place(L::my_line(i), L::my_chunk());
#pragma unroll
            for (int e = 0; e < V; e += VEC)
                copy<VEC>(at + e * sizeof(T), from + i * L::STEP * pitch + e,
                          i * L::STEP < depth && e < columns);
        }
        from += BK * pitch, depth -= BK;
    }
};

// ---- pixels -----------------------------------------------------------------------------------------

constexpr int NOWHERE = -(1 << 30);  // a coordinate outside every image

// A convolution reads pixel  position * stride - before + tap * dilation  of each axis. Sequences
// and images are volumes whose first sizes are 1. Memory is channels-last.
struct Window {
    int size[3], out[3], kernel[3], stride[3], before[3], dilation[3];
    int pitch;     // channels of a pixel in memory
    int channels;  // those that are read: of one group

    __device__ inline int64 positions() const { return int64(out[0]) * out[1] * out[2]; }
    __device__ inline int taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    template <class Index>
    __device__ inline Index index(Index image, int d, int h, int w) const {
        return (((image * size[0] + d) * size[1] + h) * size[2] + w) * pitch;
    }
    __device__ inline bool holds(int d, int h, int w) const {
        return unsigned(d) < unsigned(size[0]) && unsigned(h) < unsigned(size[1]) &&
               unsigned(w) < unsigned(size[2]);
    }
};

// A channel of a tap; `move` goes on in memory order of the weights: channels, taps.
struct Tap {
    int channel, at[3];
    __device__ inline Tap(const Window& o, int depth) {
        channel = depth % o.channels;
        int tap = depth / o.channels;
        at[2] = tap % o.kernel[2];
        at[1] = tap / o.kernel[2] % o.kernel[1];
        at[0] = tap / o.kernel[2] / o.kernel[1];
    }
    __device__ inline void move(const Window& o, int distance) {
        channel += distance;
        while (channel >= o.channels) {
            channel -= o.channels;
            if (++at[2] < o.kernel[2]) continue;
            at[2] = 0;
            if (++at[1] < o.kernel[1]) continue;
            at[1] = 0;
            ++at[0];
        }
    }
    __device__ inline bool exists(const Window& o) const { return at[0] < o.kernel[0]; }
};

#ifndef MASKED
#define MASKED 0
#endif
#if MASKED
typedef int Index;  // of an element of x

// Which taps of a window lie inside: BITS bits for each axis. A kernel is at most BITS wide.
struct Inside {
    static constexpr int BITS = 10;
    uint32 bits;
    __device__ inline Inside() {}
    __device__ inline Inside(const Window& o, int d, int h, int w) : bits(0) {
        const int corner[3] = {d, h, w};
#pragma unroll
        for (int axis = 0; axis < 3; ++axis)
            for (int t = 0; t < o.kernel[axis]; ++t) {
                bool inside = unsigned(corner[axis] + t * o.dilation[axis]) < unsigned(o.size[axis]);
                bits |= uint32(inside) << (t + axis * BITS);
            }
    }
    // What `holds` asks for: computed once for all windows. No window holds a tap that is none.
    static __device__ inline uint32 question(const Window& o, const Tap& tap) {
        if (!tap.exists(o)) return ~0u;
        return 1u << tap.at[0] | 1u << (tap.at[1] + BITS) | 1u << (tap.at[2] + 2 * BITS);
    }
    __device__ inline bool holds(const Window&, uint32 question) const {
        return (bits & question) == question;
    }
};
#else
typedef int64 Index;

// The pixel that the first tap of a window would read.
struct Inside {
    int d, h, w;
    __device__ inline Inside() {}
    __device__ inline Inside(const Window&, int d_, int h_, int w_) : d(d_), h(h_), w(w_) {}
    struct Offset { int d, h, w; };
    static __device__ inline Offset question(const Window& o, const Tap& tap) {
        return {tap.exists(o) ? tap.at[0] * o.dilation[0] : NOWHERE, tap.at[1] * o.dilation[1],
                tap.at[2] * o.dilation[2]};
    }
    __device__ inline bool holds(const Window& o, Offset tap) const {
        return o.holds(d + tap.d, h + tap.h, w + tap.w);
    }
};
#endif

// SIZE positions of the result; what each of them reads runs along the depth.
template <int SIZE, int VEC> struct Patches : Lines<SIZE, true> {
    using L = Lines<SIZE, true>;
    struct Line { Index first; Inside inside; };
    const T* x;
    const Window& o;
    Tap tap;
    Line line[L::EACH];

    // `x` is the first channel of the group, `row` the first position.
    __device__ inline Patches(const T* x_, const Window& o_, int64 row, int64 rows)
        : x(x_), o(o_), tap(o_, L::my_chunk() * V) {
#pragma unroll
        for (int i = 0; i < L::EACH; ++i) new_line(i, unsigned(row) + L::my_line(i), L::my_line(i) < rows);
    }
    __device__ inline void new_line(int i, unsigned position, bool valid) {
        int w = position % o.out[2] * o.stride[2] - o.before[2];
        int h = position / o.out[2] % o.out[1] * o.stride[1] - o.before[1];
        int d = position / o.out[2] / o.out[1] % o.out[0] * o.stride[0] - o.before[0];
        Index image = position / o.out[2] / o.out[1] / o.out[0];
        // One that does not exist lies outside with all its taps.
        line[i] = {o.index(image, d, h, w), Inside(o, valid ? d : NOWHERE, h, w)};
    }
    __device__ inline void copy_tile(Shared to) {
#pragma unroll
        for (int e = 0; e < V; e += VEC) {
            Index offset = o.index(Index(0), tap.at[0] * o.dilation[0], tap.at[1] * o.dilation[1],
                                   tap.at[2] * o.dilation[2]) + tap.channel;
            auto question = Inside::question(o, tap);
#pragma unroll
            for (int i = 0; i < L::EACH; ++i) {
                if (!L::is_mine(i)) break;
                Shared at = to + L::place(L::my_line(i), L::my_chunk()) + e * sizeof(T);
                copy<VEC>(at, x + (line[i].first + offset), line[i].inside.holds(o, question));
            }
            tap.move(o, VEC);
        }
        tap.move(o, BK - V);
    }
};

// SIZE columns, each a channel of a tap; a depth is a position of the result.
template <int SIZE, int VEC> struct PatchColumns : Lines<SIZE, false> {
    using L = Lines<SIZE, false>;
    static constexpr int PARTS = V / VEC;
    const T* x;
    const Window& o;
    int64 offset[PARTS];
    int shift[PARTS][3];  // from the corner of a window
    int image[L::EACH], at[L::EACH][3];
    int advance[4];  // BK positions: images, and along each axis
    int left;        // positions, of this thread's first line

    __device__ inline PatchColumns(const T* x_, const Window& o_, int column, int64 first, int64 end)
        : x(x_), o(o_) {
        Tap tap(o, column + L::my_chunk() * V);
#pragma unroll
        for (int e = 0; e < PARTS; ++e) {
#pragma unroll
            for (int axis = 0; axis < 3; ++axis)
                shift[e][axis] = tap.at[axis] * o.dilation[axis] - o.before[axis];
            if (!tap.exists(o)) shift[e][0] = NOWHERE;
            offset[e] = tap.exists(o) ? o.index(int64(0), shift[e][0], shift[e][1], shift[e][2]) + tap.channel : 0;
            tap.move(o, VEC);
        }
        left = int(end - first) - L::my_line(0);
        split(BK, advance[0], advance + 1);
#pragma unroll
        for (int i = 0; i < L::EACH; ++i) split(unsigned(first) + L::my_line(i), image[i], at[i]);
    }
    __device__ inline void split(unsigned position, int& n, int* axes) {
        axes[2] = position % o.out[2], position /= o.out[2];
        axes[1] = position % o.out[1], position /= o.out[1];
        axes[0] = position % o.out[0], n = position / o.out[0];
    }
    __device__ inline void copy_tile(Shared to) {
#pragma unroll
        for (int i = 0; i < L::EACH; ++i) {
            if (!L::is_mine(i)) break;
            int d = at[i][0] * o.stride[0], h = at[i][1] * o.stride[1], w = at[i][2] * o.stride[2];
            int64 base = o.index(int64(image[i]), d, h, w);
            Shared line = to + L::place(L::my_line(i), L::my_chunk());
#pragma unroll
            for (int e = 0; e < PARTS; ++e)
                copy<VEC>(line + e * VEC * sizeof(T), x + base + offset[e],
                          i * L::STEP < left &&
                              o.holds(d + shift[e][0], h + shift[e][1], w + shift[e][2]));
            int carry = 0;
#pragma unroll
            for (int axis = 2; axis >= 0; --axis) {
                at[i][axis] += advance[axis + 1] + carry;
                carry = at[i][axis] >= o.out[axis];
                if (carry) at[i][axis] -= o.out[axis];
            }
            image[i] += advance[0] + carry;
        }
        left -= BK;
    }
};
