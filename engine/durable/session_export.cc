#include "engine/durable/session_export.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/durable/adapter_record.h"
#include "engine/durable/settings_record.h"
#include "memory/durable/checksum.h"
#include "memory/durable/record.h"

namespace eidetic {
namespace {

constexpr std::string_view kMagic = "EIDSESSN";
constexpr uint32_t kVersion = 2, kAdapterVersion = 3;
constexpr size_t kHeaderBytes = 8 + 4 + 8;
constexpr size_t kChecksumBytes = 8;

absl::string_view Text(std::string_view text) { return {text.data(), text.size()}; }

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(absl::StrCat("data: the export ", Text(what), "; export it anew"));
}

template <typename T>
absl::Status Same(std::string_view field, const T& exported, const T& here) {
  if (exported == here) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(Text(field), ": the export's is ", exported, " and this server's is ", here,
                   "; import it into a server that has the export's"));
}

// The frame: magic, version, size and checksum. Gives the version.
absl::StatusOr<uint32_t> CheckFrame(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) {
    return absl::InvalidArgumentError("data: is no export of a session");
  }
  if (bytes.size() < kHeaderBytes + kChecksumBytes) return Damaged("was cut");
  memory::RecordReader header(bytes.substr(kMagic.size(), kHeaderBytes - kMagic.size()));
  const uint32_t version = header.Fixed32();
  if (version != kVersion && version != kAdapterVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("version: the export's is ", version, " and this server knows ", kVersion,
                     " and ", kAdapterVersion, "; import it into a newer server"));
  }
  if (header.Fixed64() != bytes.size()) return Damaged("was cut, extended or damaged");
  const size_t end = bytes.size() - kChecksumBytes;
  memory::RecordReader checksum(bytes.substr(end));
  if (checksum.Fixed64() != memory::Checksum(bytes.substr(0, end))) return Damaged("was damaged");
  return version;
}

absl::Status TakeLog(const ExportBinding& binding, memory::RecordReader* from,
                     memory::TokenLog* log) {
  for (uint64_t left = from->Count(2); left > 0 && from->ok(); --left) {
    const bool generated = from->AtMost(1) == 1;
    const std::vector<memory::TokenId> run = TakeTokens(from);
    for (memory::TokenId token : run) {
      if (token >= binding.vocab_size) return Damaged("has a token that the model has not");
    }
    if (!generated) {
      log->Append(run);
    } else {
      for (memory::TokenId token : run) log->AppendGenerated(token);
    }
  }
  return from->Finish("export");
}

}  // namespace

std::string EncodeExport(const ExportedSession& session, const ExportBinding& binding) {
  memory::RecordWriter body;
  body.String(binding.model_hash);
  if (!session.adapter.empty()) Put(session.adapter, &body);
  body.Varint(static_cast<uint64_t>(binding.block_tokens));
  body.Varint(static_cast<uint64_t>(binding.query_chunk_tokens));
  Put(session.settings, &body);
  std::vector<memory::Position> begins;
  for (memory::Position i = 0; i < session.log.size(); i = session.log.RunEnd(i)) {
    begins.push_back(i);
  }
  body.Varint(begins.size());
  for (memory::Position begin : begins) {
    body.Varint(static_cast<uint64_t>(session.log.KindAt(begin)));
    PutTokens(session.log.Slice(begin, session.log.RunEnd(begin)), &body);
  }
  memory::RecordWriter header;
  header.Fixed32(session.adapter.empty() ? kVersion : kAdapterVersion);
  header.Fixed64(kHeaderBytes + body.bytes().size() + kChecksumBytes);
  std::string bytes = absl::StrCat(Text(kMagic), header.bytes(), body.bytes());
  memory::RecordWriter checksum;
  checksum.Fixed64(memory::Checksum(bytes));
  return bytes + checksum.bytes();
}

absl::StatusOr<ExportedSession> DecodeExport(std::string_view bytes, const ExportBinding& binding) {
  const absl::StatusOr<uint32_t> version = CheckFrame(bytes);
  if (!version.ok()) return version.status();
  memory::RecordReader from(
      bytes.substr(kHeaderBytes, bytes.size() - kHeaderBytes - kChecksumBytes));
  const std::string hash(from.String());
  ExportedSession session;
  if (*version == kAdapterVersion) session.adapter = TakeAdapterBinding(&from);
  const uint64_t block_tokens = from.Varint();
  const uint64_t query_chunk_tokens = from.Varint();
  if (!from.ok()) return from.Finish("export");
  absl::Status status = Same("model content hash", hash, binding.model_hash);
  if (status.ok()) {
    status = Same("block_tokens", block_tokens, static_cast<uint64_t>(binding.block_tokens));
  }
  if (status.ok()) {
    status = Same("query_chunk_tokens", query_chunk_tokens,
                  static_cast<uint64_t>(binding.query_chunk_tokens));
  }
  if (!status.ok()) return status;
  session.settings = TakeSettingsHistory(&from);
  status = TakeLog(binding, &from, &session.log);
  if (!status.ok()) return status;
  if (session.settings.parts().back().begin > session.log.size()) {
    return Damaged("changes settings behind its end");
  }
  return session;
}

}  // namespace eidetic
