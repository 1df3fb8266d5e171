// The index of what was appended: writes the summaries of blocks that are complete.
//
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: pages hold the blocks' keys, in the order of the queue.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_BLOCK_SUMMARY_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_BLOCK_SUMMARY_H_

#include "engine/backend/cuda/context.h"

namespace eidetic::cuda {

// Of every block that the appended rows completed.
void SummarizeNewBlocks(const AppendKvParams& params, Context* context);

// Of blocks [0, blocks) of one layer. pages and tiles are tables on the device.
void SummarizeBlocks(const memory::PageLayout& layout, memory::SummaryKind kind, void* const* pages,
                     void* const* tiles, memory::BlockIndex blocks, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_BLOCK_SUMMARY_H_
