#include "engine/backend/cuda/code_tiles.cuh"
#include "engine/backend/cuda/partial_query.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kPrepareThreads = PartialQuery::kMostChannels;

// A sum of weights times codes + 8 must fit 16 bits: the weights' magnitudes sum up to at most
// 65535 / 15 = 4369, of which rounding them takes half of kMostChannels.
constexpr float kMostWeight = 4300;
// Of a float whose lower 16 bits are a sum.
constexpr float kFloatOffset = 8388608;

// What PreparePartialKernel's warps share.
struct PrepareDesk {
  __align__(16) float mean[PartialQuery::kMostChannels];
  __align__(16) float size[PartialQuery::kMostChannels];
  float query[kFewColumns][PartialQuery::kMostChannels];
  int32_t channel[PartialQuery::kMostChannels];
  float dot[kFewColumns], norm[kFewColumns];
  uint32_t chosen[kPrepareThreads / 32];  // a bit a channel
};

// Thread d: whether channel d is one of the `wanted` with the largest queries.
__device__ inline bool IsLarge(const PrepareDesk& desk, int32_t head_dim, int32_t wanted) {
  const int32_t d = threadIdx.x;
  if (d >= head_dim) return false;
  const float own = desk.size[d];
  int32_t larger = 0;
#pragma unroll 8
  for (int32_t e = 0; e < head_dim; e += 4) {
    const float4 four = *reinterpret_cast<const float4*>(desk.size + e);
    larger += four.x > own || (four.x == own && e < d) ? 1 : 0;
    larger += four.y > own || (four.y == own && e + 1 < d) ? 1 : 0;
    larger += four.z > own || (four.z == own && e + 2 < d) ? 1 : 0;
    larger += four.w > own || (four.w == own && e + 3 < d) ? 1 : 0;
  }
  return larger < wanted;
}

// Whole warp: one column in whole numbers, and what unit and shift are made of. Those past the end
// count as zero.
__device__ inline void PrepareColumn(const Choice& choice, int32_t column, int32_t padded,
                                     PartialQuery* to, PrepareDesk* desk) {
  const int32_t lane = threadIdx.x % 32, head_dim = choice.job.page.head_dim;
  if (column >= choice.column_count()) {
    for (int32_t i = lane; i < padded; i += 32) to->weight[column][i] = 0;
    if (lane != 0) return;
    to->start[column] = 0;
    to->offset[column] = kFloatOffset;
    to->unit[column] = desk->norm[column] = 0;
    desk->dot[column] = -INFINITY;
    return;
  }
  const float* q = desk->query[column];
  QuerySums all;
  for (int32_t d = lane; d < head_dim; d += 32) all.Add(q[d], desk->mean[d]);
  all.Merge(32);
  const int32_t channels = min(choice.plan.request.scan_channels, head_dim);
  float size = 0;
  for (int32_t i = lane; i < channels; i += 32) size += fabsf(q[desk->channel[i]]);
  const float unit = fmaxf(WarpSum(size) / kMostWeight, 1e-36f);
  float sizes = 0, below = 0;
  for (int32_t i = lane; i < padded; i += 32) {
    const float units = q[desk->channel[i]] / unit;
    // NaN, of infinities, counts as zero.
    const bool counts = i < channels && fabsf(units) <= kMostWeight;
    const int32_t weight = counts ? __float2int_rn(units) : 0;
    to->weight[column][i] = weight;
    sizes += static_cast<float>(abs(weight));
    below += static_cast<float>(max(-weight, 0));
  }
  sizes = WarpSum(sizes), below = WarpSum(below);
  if (lane != 0) return;
  to->start[column] = static_cast<uint32_t>(below) * 15 * 0x10001u;
  to->offset[column] = kFloatOffset + rintf(7.5f * sizes);
  to->unit[column] = unit;
  desk->dot[column] = all.dot;
  desk->norm[column] = all.Norm();
}

struct PrepareArgs {
  RetrievalJob job;
  int32_t columns;  // that the scan reads
};

// A CTA a choice.
// 1. Clears the bins. The mean key; each channel's size over all columns.
// 2. The largest channels, ascending.
// 3. A warp a column: weights. Scores count from the best column's q . mean, in units of |q|, so
//    that bins fit.
__global__ void __launch_bounds__(kPrepareThreads) PreparePartialKernel(const PrepareArgs args) {
  __shared__ PrepareDesk desk;
  const Choice choice(args.job, blockIdx.x);
  FollowStage();
  if (!choice.plan.partial) return;
  const int32_t d = threadIdx.x, head_dim = args.job.page.head_dim, warp = d / 32;
  PartialQuery& to = choice.partial();
  for (int32_t i = d; i < kPartialBins / 4; i += kPrepareThreads) {
    reinterpret_cast<uint4*>(choice.bins())[i] = {};
  }
  // One column's scores need no common ground with others'.
  if (choice.column_count() > 1) {
    MeanKey(args.job.page, choice.Keys<Bf16Number>(0), desk.mean);
  } else {
    desk.mean[d] = 0;
  }
  float size = 0;
  for (int32_t c = 0; c < choice.column_count() && d < head_dim; ++c) {
    const float value = ToFloat(choice.Query<Bf16Number>(c)[d]);
    desk.query[c][d] = value;
    size += fabsf(value) < INFINITY ? fabsf(value) : 0;
  }
  desk.size[d] = size;
  __syncthreads();
  const int32_t channels = min(choice.plan.request.scan_channels, head_dim);
  const bool large = IsLarge(desk, head_dim, channels);
  const uint32_t of_warp = __ballot_sync(~0u, large);
  if (d % 32 == 0) desk.chosen[warp] = of_warp;
  if (d >= channels) desk.channel[d] = 0;
  __syncthreads();
  int32_t place = __popc(of_warp & ((1u << d % 32) - 1));
  for (int32_t i = 0; i < warp; ++i) place += __popc(desk.chosen[i]);
  if (large) desk.channel[place] = d;
  const int32_t padded = (channels + 15) / 16 * 16;
  if (d == 0) to.channels = padded;
  __syncthreads();
  to.channel[d] = desk.channel[d];
  for (int32_t c = warp; c < args.columns; c += kPrepareThreads / 32) {
    PrepareColumn(choice, c, padded, &to, &desk);
  }
  __syncthreads();
  if (d >= args.columns) return;
  float best = -INFINITY, norm = 1e-30f;
  for (int32_t c = 0; c < args.columns; ++c) {
    best = fmaxf(best, desk.dot[c]);
    norm = fmaxf(norm, desk.norm[c]);
  }
  to.unit[d] /= norm;
  to.shift[d] = d < choice.column_count() ? (desk.dot[d] - best) / norm : -INFINITY;
}

}  // namespace

void PreparePartialQueries(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  context->queue->Launch(PreparePartialKernel, dim3(shape.choices), dim3(kPrepareThreads), 0,
                         PrepareArgs{job, ScannedColumns(shape)}, Overlap::kPrologue);
}

}  // namespace eidetic::cuda
