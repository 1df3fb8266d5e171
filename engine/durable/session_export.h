// The byte stream that carries a session from one server to another.
//
// What: all integers little-endian; varints are LEB128 of the shortest form, signed ones zigzag:
//     8 bytes   "EIDSESSN"
//     u32       version: 2, or 3 where an adapter follows the hash of the model
//     u64       bytes of the whole export
//     varint, bytes  content hash of the model
//     varint, bytes; varint, bytes  in version 3: the adapter's id, its content hash
//     varint    block_tokens
//     varint    query_chunk_tokens
//     settings  policy, rule (varints); window_tokens, span_blocks, sink_blocks,
//               first_candidates, candidate_budget, scan_channels (signed varints);
//               remap_positions, retrieve_in_prefill (0 or 1): those of the first tokens
//     varint    changes of settings; each: how many tokens after the one before it begins (varint,
//               less 1), settings
//     varint    runs; each: varint kind (0 appended, 1 generated), varint count, a varint a token
//     u64       XXH3-64 of everything before
//   An appended run is one append, whose borders cut query chunks: so the log is computed again
//   exactly as it was.
// Thread safety: pure. Ownership: values. Preconditions: none; what is decoded may be hostile.
#ifndef EIDETIC_ENGINE_DURABLE_SESSION_EXPORT_H_
#define EIDETIC_ENGINE_DURABLE_SESSION_EXPORT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/exported_session.h"

namespace eidetic {

// What an export and the server that takes it must have in common.
struct ExportBinding {
  std::string model_hash;
  int32_t block_tokens = 0;
  int32_t query_chunk_tokens = 0;
  int32_t vocab_size = 0;  // follows from the model; no token reaches it
};

std::string EncodeExport(const ExportedSession& session, const ExportBinding& binding);

// INVALID_ARGUMENT: no export; FAILED_PRECONDITION naming the field: of another version, model or
// geometry; DATA_LOSS: damaged, cut or extended. The settings are not validated.
absl::StatusOr<ExportedSession> DecodeExport(std::string_view bytes, const ExportBinding& binding);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_SESSION_EXPORT_H_
