#include "engine/durable/log_loader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

class LogLoader {
 public:
  LogLoader(const LoadContext& context, const std::string& whose)
      : context_(context), whose_(whose) {}

  absl::StatusOr<memory::TokenLog> Load(std::span<const LogSegment> segments,
                                        memory::Position end) {
    for (size_t i = 0; i < segments.size(); ++i) {
      const bool final = i + 1 == segments.size();
      const absl::Status status = LoadSegment(segments[i], final ? end : segments[i + 1].begin);
      if (!status.ok()) return status;
    }
    if (log_.size() == end) return std::move(log_);
    return LogDamage(whose_, "has no log");
  }

 private:
  absl::Status LoadSegment(const LogSegment& segment, memory::Position end) {
    if (segment.begin != log_.size() || end < segment.begin) {
      return LogDamage(whose_, absl::StrCat("its logs do not meet at position ", segment.begin));
    }
    const absl::Status status =
        ForEachRecord(*context_.journal, RunPrefix(segment.log),
                      KeyOfRun(segment.log, segment.begin), [&](auto key, auto value) {
                        if (log_.size() == end) return absl::CancelledError();  // all is read
                        return AddRun(key, value, end);
                      });
    if (!status.ok() && !absl::IsCancelled(status)) return status;
    if (log_.size() == end) return absl::OkStatus();
    return LogDamage(whose_,
                     absl::StrCat("its tokens end at position ", log_.size(), " and not at ", end));
  }

  absl::Status AddRun(std::string_view key, std::string_view value, memory::Position end) {
    const absl::StatusOr<memory::Position> begin = ParseRunKey(key);
    if (!begin.ok()) return begin.status();
    absl::StatusOr<RunRecord> run = Decode<RunRecord>(value);
    if (!run.ok()) return run.status();
    if (*begin != log_.size()) {
      return LogDamage(whose_, absl::StrCat("tokens are missing at position ", log_.size()));
    }
    for (memory::TokenId token : run->tokens) {
      if (token >= context_.vocab_size) {
        return LogDamage(whose_, "has a token that the model has not");
      }
    }
    // A log that was cut keeps its whole last append.
    const auto tokens = std::span<const memory::TokenId>(run->tokens)
                            .first(std::min<size_t>(run->tokens.size(), end - *begin));
    if (run->kind == memory::TokenKind::kAppended) {
      log_.Append(tokens);
    } else {
      for (memory::TokenId token : tokens) log_.AppendGenerated(token);
    }
    return absl::OkStatus();
  }

  const LoadContext& context_;
  const std::string& whose_;
  memory::TokenLog log_;
};

}  // namespace

absl::Status LogDamage(const std::string& whose, std::string_view what) {
  return absl::DataLossError(absl::StrCat(whose, ": ", absl::string_view(what.data(), what.size()),
                                          "; restore the data folder from a backup, or delete "
                                          "the session"));
}

absl::Status ForEachRecord(
    const memory::Journal& journal, const std::string& prefix, const std::string& begin,
    const std::function<absl::Status(std::string_view, std::string_view)>& take) {
  absl::Status status;
  const absl::Status scanned =
      journal.Scan(prefix, begin, [&](std::string_view key, std::string_view value) {
        status = take(key, value);
        return status.ok();
      });
  return scanned.ok() ? status : scanned;
}

absl::StatusOr<memory::TokenLog> LoadTokenLog(const LoadContext& context, const std::string& whose,
                                              std::span<const LogSegment> segments,
                                              memory::Position end) {
  return LogLoader(context, whose).Load(segments, end);
}

}  // namespace eidetic
