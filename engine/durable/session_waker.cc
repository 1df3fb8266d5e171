// How SessionKeeper reads manifests and loads sessions.
#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/durable/session_keeper.h"
#include "engine/layers/span_plan.h"
#include "memory/span_settings.h"

namespace eidetic {

void SessionKeeper::BeforeRestore() {
  parts_.sessions->ForEach([this](const SessionPtr& session) {
    for (const auto& checkpoint : {session->checkpoint, session->older}) {
      if (checkpoint != nullptr) uncertain_.push_back(checkpoint);
    }
  });
}

absl::Status SessionKeeper::Restore() {
  all_read_ = true;
  absl::Status scanned =
      parts_.journal->Scan("m/", "m/", [this](std::string_view key, std::string_view value) {
        Adopt(ParseCheckpointKey(key), value, &Session::checkpoint);
        return true;
      });
  if (!scanned.ok()) return scanned;
  scanned = parts_.journal->Scan("o/", "o/", [this](std::string_view key, std::string_view value) {
    Adopt(ParseOlderCheckpointKey(key), value, &Session::older);
    return true;
  });
  if (!scanned.ok()) return scanned;
  uncertain_.clear();
  scan_now_ = true;
  // What names extents and could not be read for the moment may be read at the next start.
  if (!all_read_) return absl::OkStatus();
  const int64_t freed = parts_.extents->RemoveUnreferenced();
  if (freed > 0) LOG(INFO) << "removed " << freed << " bytes that no checkpoint names";
  return absl::OkStatus();
}

memory::CheckpointBinding SessionKeeper::BindingOf(const Session& session) const {
  memory::CheckpointBinding binding = parts_.binding;
  binding.adapter = eidetic::BindingOf(session.adapter).ToString();
  return binding;
}

memory::CheckpointBinding SessionKeeper::BindingFor(const Session& session,
                                                    const Checkpoint& checkpoint) const {
  memory::CheckpointBinding ours = BindingOf(session);
  // Another kind of index is built anew.
  ours.summary_kind = checkpoint.record.manifest.binding.summary_kind;
  return ours;
}

absl::Status SessionKeeper::CheckAdopted(const Session& session,
                                         const Checkpoint& checkpoint) const {
  const auto match =
      CompareBindings(checkpoint.record.manifest.binding, BindingFor(session, checkpoint));
  if (!match.ok()) return match.status();
  if (SharedPast(session.segments, checkpoint.record) > session.position()) {
    return absl::DataLossError(absl::StrCat("stands at position ", checkpoint.position(),
                                            ", and the log ends at ", session.position()));
  }
  return CheckSizes(checkpoint.record.manifest, parts_.pool->geometry());
}

void SessionKeeper::Adopt(const absl::StatusOr<SessionName>& name, std::string_view value,
                          std::shared_ptr<Checkpoint> Session::*which) {
  const auto found = name.ok() ? parts_.sessions->Find(*name) : name.status();
  if (!found.ok()) {
    LOG(ERROR) << "a checkpoint has no session: " << found.status();
    return;
  }
  Session& session = **found;
  absl::StatusOr<CheckpointRecord> record = DecodeCheckpoint(
      value, [this](const memory::ExtentRef& ref) { return ReadPiece(*parts_.extents, ref); });
  if (!record.ok()) {
    if (absl::IsUnavailable(record.status())) all_read_ = false;
    return Refuse(*name, nullptr, record.status());
  }
  session.bit_identical = session.bit_identical && record->bit_identical;
  if (session.computed_by.empty()) {  // the journal does not say
    const memory::CheckpointBinding& binding = record->manifest.binding;
    session.computed_by = ComputerOf(binding.build, binding.device_kind);
  }
  session.*which = checkpointer_.Adopt(*std::move(record));
  Checkpoint* const adopted = (session.*which).get();
  if (absl::Status status = CheckAdopted(session, *adopted); !status.ok()) {
    Refuse(*name, adopted, status);
  }
}

void SessionKeeper::Refuse(const SessionName& session, Checkpoint* checkpoint,
                           const absl::Status& why) {
  ++counts_.refused;
  if (absl::IsDataLoss(why)) ++counts_.damaged;
  if (checkpoint != nullptr) checkpoint->refused = true;
  LOG(ERROR) << "a checkpoint of " << session.ToString()
             << " is refused, another one or the log takes its place: " << why;
}

bool SessionKeeper::CanLoad(const Session& session) const {
  return session.memory == nullptr && Kept(session) > 0;
}

void SessionKeeper::WhenAwake(const SessionName& name, MemoryNeed need, Then then) {
  const auto found = parts_.sessions->Find(name);
  if (!found.ok()) return then(absl::OkStatus());  // whoever asks says so
  const SessionPtr& session = *found;
  session->used_time = parts_.now();
  const bool late = session->memory != nullptr && session->memory->late();
  if (late && need == MemoryNeed::kWhole) {
    waiting_[name].push_back({need, std::move(then)});  // until LateDone
    return;
  }
  if (!CanLoad(*session)) return then(absl::OkStatus());
  std::vector<Waiting>& waiting = waiting_[name];
  waiting.push_back({need, std::move(then)});
  if (waiting.size() == 1) Load(session);
}

void SessionKeeper::Load(const SessionPtr& session) {
  const std::shared_ptr<Checkpoint> from = Best(*session);
  const memory::Position position = Kept(*session, from.get());
  const memory::MemoryGeometry& geometry = parts_.pool->geometry();
  const SpanPlan plan = PlanSpan(session->settings.last(), geometry.layout.block_size,
                                 /*retrieves=*/true, position, memory::TokenKind::kGenerated);
  // Every chunk to come reaches what is distant now through retrieval alone, by one index.
  const bool settled = session->settings.parts().back().begin <= position;
  auto load = memory::SessionLoad::Begin(
      parts_.pool,
      {.position = position,
       .stored = static_cast<memory::SummaryKind>(from->record.manifest.binding.summary_kind),
       .wanted = memory::SummaryFor(session->settings.At(position), geometry.bounding),
       .first_far = plan.first,
       .last_far = plan.last,
       .late = parts_.finds_late_pages && settled});
  if (!load.ok()) return RunWaiting(session->name, memory::MarkShortage(load.status()));
  checkpointer_.Load({.from = from,
                      .into = *std::move(load),
                      .done = [this, session, from, begun = parts_.now()](
                                  auto memory) { Loaded(session, from, begun, std::move(memory)); },
                      .late_done =
                          [this, session, from](auto late, const auto& status) {
                            LateDone(session, from, std::move(late), status);
                          }});
}

void SessionKeeper::Loaded(const SessionPtr& session, const std::shared_ptr<Checkpoint>& from,
                           absl::Time begun,
                           absl::StatusOr<std::unique_ptr<memory::SessionMemory>> memory) {
  scan_now_ = true;
  if (memory.ok() && (*memory)->late()) ++late_;
  if (!memory.ok()) {
    Refuse(session->name, from.get(), memory.status());
  } else if (IsHere(session) && CanLoad(*session) && Kept(*session) == (*memory)->published()) {
    session->memory = *std::move(memory);
    ++counts_.loaded;
    parts_.observer->OnWake(absl::ToDoubleSeconds(parts_.now() - begun));
  }
  RunWaiting(session->name, absl::OkStatus());
}

void SessionKeeper::LateDone(const SessionPtr& session, const std::shared_ptr<Checkpoint>& from,
                             std::shared_ptr<memory::LatePages> late, const absl::Status& status) {
  --late_;
  scan_now_ = true;
  const bool its_own =
      IsHere(session) && session->memory != nullptr && session->memory->late_pages() == late.get();
  late.reset();  // it holds pages
  if (!status.ok()) {
    Refuse(session->name, from.get(), status);
    if (its_own)
      session->busy ? session->BeginAgain(parts_.pool, parts_.query_chunk_tokens)
                    : session->DropMemory();
  } else if (its_own) {
    session->memory->EndLate();
  }
  RunWaiting(session->name, absl::OkStatus());
}

void SessionKeeper::RunWaiting(const SessionName& name, const absl::Status& status) {
  const auto found = waiting_.extract(name);
  if (found.empty()) return;
  for (Waiting& one : found.mapped()) {
    // The one before may have taken the memory again.
    status.ok() ? WhenAwake(name, one.need, std::move(one.then)) : one.then(status);
  }
}

}  // namespace eidetic
