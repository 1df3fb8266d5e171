// Flow: sequences are cut into tiles of 32 rows; a thread takes one channel of a tile (or eight
// neighbouring ones) and walks over its rows. What comes before a tile is read from x or, at the
// sequence's beginning, from the state. The state is written by the last tile, or by a kernel of
// its own when a slot is written in place: the first tile may still be reading it.
#include <algorithm>

#include "engine/backend/cuda/causal_conv1d.h"
#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/pieces.cuh"
#include "engine/backend/cuda/scan_math.cuh"
#include "engine/backend/cuda/state_span.cuh"

namespace eidetic::cuda {
namespace {

// At most 3 / 32 of x is read twice, and 512 rows of 8,448 channels still make 144 blocks.
constexpr int32_t kTileRows = 32;
constexpr int32_t kThreads = 128;
constexpr int32_t kVector = kPiece;  // channels: 16 bytes of bf16
constexpr int32_t kFastWidth = 4;    // every Mamba-2 model's
constexpr int32_t kInFlight = 4;     // rows loaded before the first is used

struct ConvArgs {
  const void* x;        // [T, channels], row stride x_stride
  const float* weight;  // [channels, width]
  const float* bias;    // [channels] or null
  void* out;            // [T, channels]
  const StateSpan* sequences;
  const ConvWeights* own;  // [sequences], in place of weight and bias; or null
  int64_t channels, x_stride, min_rows;
  size_t state_offset;
  int32_t sequence_count, width;
  bool silu, write_state;
  bool tile_each;  // every span has one tile: tile i is span i's
};

__device__ inline SpanTile TileOf(const ConvArgs& args, int32_t tile) {
  if (args.tile_each) return {tile, 0};
  return FindSpanTile<kTileRows>(args.sequences, args.sequence_count, args.min_rows, tile);
}

// Channel c of row `row` of the span; rows before its first are the state's.
template <typename T>
__device__ inline float InputAt(const ConvArgs& args, const StateSpan& span, int64_t row,
                                int64_t c) {
  if (row < 0) {
    const int64_t at = row + args.width - 1;
    return DeviceStateIn(span, args.state_offset)[at * args.channels + c];
  }
  return ToFloat(static_cast<const T*>(args.x)[(span.row_begin + row) * args.x_stride + c]);
}

// In place too: row j of the new state comes from a later row of the old one, read before.
template <typename T>
__device__ inline void WriteState(const ConvArgs& args, const StateSpan& span, int64_t c) {
  float* state = DeviceStateOut(span, args.state_offset);
  for (int32_t j = 0; j + 1 < args.width; ++j) {
    state[j * args.channels + c] = InputAt<T>(args, span, span.row_count - args.width + 1 + j, c);
  }
}

// Any width, stride and type; thread = channel. A row reads its inputs anew: they are in cache.
template <typename T>
__global__ void __launch_bounds__(kThreads) ConvKernel(const ConvArgs args) {
  cudaTriggerProgrammaticLaunchCompletion();
  const SpanTile tile = TileOf(args, static_cast<int32_t>(blockIdx.y));
  const int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= args.channels) return;
  const StateSpan span = args.sequences[tile.span];
  const ConvWeights weights = DeviceWeights(args.own, args.weight, args.bias, tile.span);
  cudaGridDependencySynchronize();
  const int64_t end = min(span.row_count, int64_t{tile.first_row} + kTileRows);
  const float* weight = weights.weight + c * args.width;
  const float bias = weights.bias == nullptr ? 0.0f : weights.bias[c];
  for (int64_t row = tile.first_row; row < end; ++row) {
    float sum = bias;
    for (int32_t j = 0; j < args.width; ++j) {
      sum = fmaf(weight[j], InputAt<T>(args, span, row - args.width + 1 + j, c), sum);
    }
    static_cast<T*>(args.out)[(span.row_begin + row) * args.channels + c] =
        ConvOutput<T>(sum, args.silu);
  }
  if (args.write_state && end == span.row_count) WriteState<T>(args, span, c);
}

__device__ inline void Unpack(const uint4& piece, float (&to)[kVector]) {
  const uint32_t pairs[4] = {piece.x, piece.y, piece.z, piece.w};
#pragma unroll
  for (int32_t i = 0; i < 4; ++i) {
    const float2 pair = UnpackBf16(pairs[i]);
    to[2 * i] = pair.x;
    to[2 * i + 1] = pair.y;
  }
}

struct ConvChannels {
  float weight[kFastWidth][kVector];
  float bias[kVector];
  float past[kFastWidth - 1][kVector];  // inputs of the rows before, oldest first

  __device__ void Load(const ConvArgs& args, const StateSpan& span, const ConvWeights& weights,
                       int64_t first_row, int64_t c) {
#pragma unroll
    for (int32_t i = 0; i < kVector; ++i) {
      const float4 w = reinterpret_cast<const float4*>(weights.weight)[c + i];
      weight[0][i] = w.x;
      weight[1][i] = w.y;
      weight[2][i] = w.z;
      weight[3][i] = w.w;
      bias[i] = weights.bias == nullptr ? 0.0f : weights.bias[c + i];
    }
#pragma unroll
    for (int32_t j = 0; j < kFastWidth - 1; ++j) {
      const int64_t row = first_row - kFastWidth + 1 + j;
      if (row < 0) {
        LoadPiece(DeviceStateIn(span, args.state_offset) + j * args.channels + c, past[j]);
      } else {
        LoadPiece(
            static_cast<const Bf16Number*>(args.x) + (span.row_begin + row) * args.x_stride + c,
            past[j]);
      }
    }
  }

  // After the span's last row, its new state.
  __device__ void StorePast(const ConvArgs& args, const StateSpan& span, int64_t c) const {
#pragma unroll
    for (int32_t j = 0; j < kFastWidth - 1; ++j) {
      StorePiece(DeviceStateOut(span, args.state_offset) + j * args.channels + c, past[j]);
    }
  }

  // The outputs of the next row; its inputs become the newest of the past.
  __device__ uint4 Next(const uint4& piece, bool silu) {
    float now[kVector];
    Unpack(piece, now);
    Bf16Number out[kVector];
#pragma unroll
    for (int32_t i = 0; i < kVector; ++i) {
      float sum = bias[i];
#pragma unroll
      for (int32_t j = 0; j < kFastWidth - 1; ++j) sum = fmaf(weight[j][i], past[j][i], sum);
      sum = fmaf(weight[kFastWidth - 1][i], now[i], sum);
      out[i] = ConvOutput<Bf16Number>(sum, silu);
#pragma unroll
      for (int32_t j = 0; j < kFastWidth - 2; ++j) past[j][i] = past[j + 1][i];
      past[kFastWidth - 2][i] = now[i];
    }
    const auto pair = [&](int32_t i) {
      return uint32_t{__bfloat16_as_ushort(out[i])} | uint32_t{__bfloat16_as_ushort(out[i + 1])}
                                                          << 16;
    };
    return {pair(0), pair(2), pair(4), pair(6)};
  }
};

// bf16, width 4, rows aligned to 16 bytes; thread = 8 channels. Bound by memory: x once, out once.
//   1. weights and the three inputs before the tile, to registers
//   2. four rows are loaded together, then convolved one after the other
__global__ void __launch_bounds__(kThreads) ConvVectorKernel(const ConvArgs args) {
  cudaTriggerProgrammaticLaunchCompletion();
  const SpanTile tile = TileOf(args, static_cast<int32_t>(blockIdx.y));
  const int64_t c = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kVector;
  if (c >= args.channels) return;
  const StateSpan span = args.sequences[tile.span];
  const int64_t row_begin = span.row_begin + tile.first_row;
  const auto rows = static_cast<int32_t>(min(int64_t{kTileRows}, span.row_count - tile.first_row));
  const Bf16Number* x = static_cast<const Bf16Number*>(args.x) + row_begin * args.x_stride + c;
  Bf16Number* out = static_cast<Bf16Number*>(args.out) + row_begin * args.channels + c;
  ConvChannels channels;
  cudaGridDependencySynchronize();
  channels.Load(args, span, DeviceWeights(args.own, args.weight, args.bias, tile.span),
                tile.first_row, c);
  for (int32_t first = 0; first < rows; first += kInFlight) {
    uint4 pieces[kInFlight];
#pragma unroll
    for (int32_t i = 0; i < kInFlight; ++i) {
      const int64_t row = min(first + i, rows - 1);
      pieces[i] = *reinterpret_cast<const uint4*>(x + row * args.x_stride);
    }
#pragma unroll
    for (int32_t i = 0; i < kInFlight; ++i) {
      if (first + i >= rows) break;
      *reinterpret_cast<uint4*>(out + int64_t{first + i} * args.channels) =
          channels.Next(pieces[i], args.silu);
    }
  }
  if (args.write_state && tile.first_row + rows == span.row_count) {
    channels.StorePast(args, span, c);
  }
}

// Thread = one channel of one sequence; after all tiles have read.
template <typename T>
__global__ void __launch_bounds__(kThreads) ConvStateKernel(const ConvArgs args) {
  const int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const StateSpan span = args.sequences[blockIdx.y];
  if (c < args.channels && span.row_count >= args.min_rows) WriteState<T>(args, span, c);
}

bool FitsVectors(const CausalConv1dParams& params) {
  return params.width == kFastWidth && params.channels % kVector == 0 &&
         params.x_stride % kVector == 0 && params.state_offset % 16 == 0 &&
         AlignedForPieces(params.x, params.out, params.weight) &&
         std::ranges::all_of(
             params.sequences,
             [](auto& span) { return AlignedForPieces(span.state_in, span.state_out); }) &&
         std::ranges::all_of(params.own, [](auto& own) { return AlignedForPieces(own.weight); });
}

}  // namespace

void CausalConv1d(const CausalConv1dParams& params, Context* context) {
  CausalConv1dFrom(1, params, context);
}

void CausalConv1dFrom(int64_t min_rows, const CausalConv1dParams& params, Context* context) {
  const int64_t tiles = CountSpanTiles<kTileRows>(params.sequences, min_rows);
  if (tiles == 0) return;
  const bool in_place = params.width > 1 && std::ranges::any_of(params.sequences, [&](auto& span) {
                          return span.row_count >= min_rows && span.state_in == span.state_out;
                        });
  const ConvArgs args = {.x = params.x,
                         .weight = params.weight,
                         .bias = params.bias,
                         .out = params.out,
                         .sequences = context->queue->Stage(params.sequences),
                         .own = params.own.empty() ? nullptr : context->queue->Stage(params.own),
                         .channels = params.channels,
                         .x_stride = params.x_stride,
                         .min_rows = min_rows,
                         .state_offset = params.state_offset,
                         .sequence_count = static_cast<int32_t>(params.sequences.size()),
                         .width = static_cast<int32_t>(params.width),
                         .silu = params.silu,
                         .write_state = !in_place,
                         .tile_each = min_rows == 1 && tiles == std::ssize(params.sequences)};
  const auto blocks = [&](int64_t channels, int64_t rows) {
    return dim3(static_cast<uint32_t>(CeilDiv(channels, kThreads)), static_cast<uint32_t>(rows));
  };
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (std::is_same_v<T, Bf16Number> && FitsVectors(params)) {
      context->queue->Launch(ConvVectorKernel, blocks(params.channels / kVector, tiles), kThreads,
                             0, args, Overlap::kPrologue);
    } else {
      context->queue->Launch(ConvKernel<T>, blocks(params.channels, tiles), kThreads, 0, args,
                             Overlap::kPrologue);
    }
    if (in_place) {
      context->queue->Launch(ConvStateKernel<T>,
                             blocks(params.channels, std::ssize(params.sequences)), kThreads, 0,
                             args);
    }
  });
}

}  // namespace eidetic::cuda
