#include <algorithm>

#include "engine/backend/cuda/append_kv.h"
#include "engine/backend/cuda/block_summary.h"
#include "engine/backend/cuda/numbers.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;
// A chunk of 512 rows still spreads over half of the device, while a decode row beside it in
// the batch starts few CTAs in vain.
constexpr int64_t kMaxCtasPerChunk = 64;

struct AppendArgs {
  const void *k, *v;
  int64_t stride;       // of rows, in pieces
  int32_t row_pieces;   // of one row's keys; its values have as many
  int32_t head_pieces;  // of one head's key
  int32_t block_size;
  const AttentionChunk* chunks;  // [gridDim.y]
};

// 1. An item is one piece (16 bytes, or one number where rows are not aligned) of one row's
//    keys or values; a chunk has row_count * 2 * row_pieces of them.
// 2. Piece p of head h of the row at position t goes to page t / S, head h, slot t % S. In a
//    page, row r of a head stands r pieces-per-head in; heads follow each other, values
//    follow all keys. Worked example, 2 heads of 4 pieces, S = 32: piece 6 of the key at
//    t = 33 is piece 2 of head 1, and goes to (1 * 32 + 1) * 4 + 2 in page 1.
template <typename Piece>
__global__ void AppendKvKernel(const AppendArgs args) {
  cudaGridDependencySynchronize();
  const AttentionChunk chunk = args.chunks[blockIdx.y];
  const int32_t heads = args.row_pieces / args.head_pieces;
  const int64_t items = chunk.row_count * 2 * args.row_pieces;
  for (int64_t item = int64_t{blockIdx.x} * kThreads + threadIdx.x; item < items;
       item += int64_t{gridDim.x} * kThreads) {
    const int64_t row = item / (2 * args.row_pieces);
    const auto part = static_cast<int32_t>(item - row * 2 * args.row_pieces);
    const bool is_value = part >= args.row_pieces;
    const int32_t piece = is_value ? part - args.row_pieces : part;
    const int32_t head = piece / args.head_pieces;
    const int64_t position = chunk.begin + row;
    auto* page = static_cast<Piece*>(chunk.pages[position / args.block_size]);
    const auto* from = static_cast<const Piece*>(is_value ? args.v : args.k);
    const int64_t slot =
        int64_t{is_value ? heads + head : head} * args.block_size + position % args.block_size;
    page[slot * args.head_pieces + piece % args.head_pieces] =
        from[(chunk.row_begin + row) * args.stride + piece];
  }
}

template <typename Piece>
void LaunchAppend(const AppendKvParams& params, size_t number_bytes, Context* context) {
  const auto pieces = [&](int64_t numbers) {
    return numbers * static_cast<int64_t>(number_bytes) / static_cast<int64_t>(sizeof(Piece));
  };
  const memory::PageLayout& layout = params.layout;
  const auto head_pieces = static_cast<int32_t>(pieces(layout.head_dim));
  const AppendArgs args{.k = params.k,
                        .v = params.v,
                        .stride = pieces(params.kv_stride),
                        .row_pieces = layout.kv_heads * head_pieces,
                        .head_pieces = head_pieces,
                        .block_size = layout.block_size,
                        .chunks = context->queue->Stage(params.chunks)};
  int64_t rows = 0;
  for (const AttentionChunk& chunk : params.chunks) rows = std::max(rows, chunk.row_count);
  const int64_t ctas = std::min(CeilDiv(rows * 2 * args.row_pieces, kThreads), kMaxCtasPerChunk);
  context->queue->Launch(AppendKvKernel<Piece>, dim3(ctas, params.chunks.size()), dim3(kThreads), 0,
                         args, Overlap::kPrologue);
}

}  // namespace

void AppendKv(const AppendKvParams& params, Context* context) {
  if (params.chunks.empty()) return;
  WithActivation(context->precision, [&](auto* type) {
    constexpr size_t kBytes = sizeof(*type);
    const uint64_t address_bits =
        reinterpret_cast<uintptr_t>(params.k) | reinterpret_cast<uintptr_t>(params.v);
    const uint64_t length_bits =
        static_cast<uint64_t>(params.kv_stride | params.layout.head_dim) * kBytes;
    if ((address_bits | length_bits) % sizeof(uint4) == 0) {
      LaunchAppend<uint4>(params, kBytes, context);
    } else {
      LaunchAppend<std::remove_pointer_t<decltype(type)>>(params, kBytes, context);
    }
  });
  SummarizeNewBlocks(params, context);
}

}  // namespace eidetic::cuda
