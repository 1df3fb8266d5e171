// The stream of an exported session: as it is, and under a frame and a checksum made good, which
// whoever means harm computes too.
#include "engine/durable/session_export.h"

#include <glog/logging.h>

#include "memory/durable/checksum.h"
#include "memory/durable/record.h"
#include "tests/fuzz/fuzz_target.h"

namespace eidetic::fuzz {
namespace {

const ExportBinding kHere = {
    .model_hash = "abc", .block_tokens = 32, .query_chunk_tokens = 512, .vocab_size = 4000};
constexpr size_t kSizePlace = 12, kHeaderBytes = 20, kChecksumBytes = 8;

std::string Framed(std::string bytes) {
  memory::RecordWriter size;
  size.Fixed64(bytes.size());
  bytes.replace(kSizePlace, sizeof(uint64_t), size.bytes());
  bytes.resize(bytes.size() - kChecksumBytes);
  memory::RecordWriter checksum;
  checksum.Fixed64(memory::Checksum(bytes));
  return bytes + checksum.bytes();
}

}  // namespace

void TryImport(std::string_view bytes) {
  const auto session = DecodeExport(bytes, kHere);
  if (!session.ok()) return;
  // What is accepted is a session like ours: it can be exported, and comes back the same.
  const std::string again = EncodeExport(*session, kHere);
  const auto back = DecodeExport(again, kHere);
  CHECK(back.ok()) << back.status();
  CHECK(EncodeExport(*back, kHere) == again);
}

void TryFramed(std::string_view bytes) {
  if (bytes.size() >= kHeaderBytes + kChecksumBytes) TryImport(Framed(std::string(bytes)));
}

std::vector<std::string> Seeds() {
  ExportedSession session;
  session.settings = memory::SettingsHistory({.window_tokens = 64, .span_blocks = 3});
  const std::vector<memory::TokenId> tokens = {1, 2, 3, 500, 3999};
  session.log.Append(tokens);
  session.log.AppendGenerated(7);
  session.log.AppendGenerated(8);
  session.settings.Change(5, {.policy = memory::AttentionPolicy::kFull});
  session.log.Append(tokens);
  ExportedSession adapted = session;
  adapted.adapter = {"tuned", "f00d"};
  return {EncodeExport(session, kHere), EncodeExport(adapted, kHere), EncodeExport({}, kHere)};
}

}  // namespace eidetic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = eidetic::fuzz::View(data, size);
  eidetic::fuzz::TryImport(bytes);
  eidetic::fuzz::TryFramed(bytes);
  return 0;
}
