#include "engine/session.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memory/span_settings.h"

namespace eidetic {

absl::Status CheckPosition(const Session& session, std::optional<memory::Position> expected) {
  if (!expected || *expected == session.position()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("expected_position: is ", *expected, ", but the session stands at ",
                   session.position(), "; read the session and retry from its position"));
}

absl::Status CheckWritable(const Session& session, std::optional<memory::Position> expected) {
  if (session.busy) {
    return absl::AbortedError(absl::StrCat("session: ", session.name.ToString(),
                                           " has a writer; retry when it has finished"));
  }
  return CheckPosition(session, expected);
}

absl::Status Session::Wake(memory::MemoryPool* pool) {
  if (memory != nullptr) return absl::OkStatus();
  auto made = memory::SessionMemory::Create(
      pool, memory::SummaryFor(settings.At(0), pool->geometry().bounding));
  if (!made.ok()) return memory::MarkShortage(made.status());
  memory = *std::move(made);
  return absl::OkStatus();
}

void Session::BeginAgain(memory::MemoryPool* pool, int32_t query_chunk_tokens) {
  const memory::Position end = memory->reserved();
  DropMemory();
  absl::Status status = Wake(pool);
  // What went was its own alone, and is as much as it needs.
  if (status.ok()) status = memory->ReserveFor(settings.last(), end, query_chunk_tokens);
  if (status.ok()) status = memory->BeginWork();
  CHECK(status.ok()) << status;
  memory->KeepPoints(!name.session.empty());
}

void Session::DropMemory() {
  seen = std::max(seen, computed());
  memory.reset();
}

absl::Status Session::PrepareIndex() {
  return memory->Reindex(memory::SummaryFor(settings.At(computed()), memory->geometry().bounding));
}

absl::StatusOr<SessionWork> SessionWork::Begin(std::shared_ptr<Session> session,
                                               memory::Position end, int32_t query_chunk_tokens) {
  if (absl::Status status = CheckWritable(*session, std::nullopt); !status.ok()) return status;
  if (absl::Status status = CheckLoaded(session->adapter); !status.ok()) return status;
  const SessionPin pin(session.get());
  absl::Status status =
      session->memory->ReserveFor(session->settings.last(), end, query_chunk_tokens);
  if (status.ok()) status = memory::MarkShortage(session->memory->BeginWork());
  if (!status.ok()) {
    session->memory->Trim(session->position());
    return status;
  }
  session->busy = true;
  // A session without a name never goes back.
  session->memory->KeepPoints(!session->name.session.empty());
  return SessionWork(std::move(session));
}

SessionWork::~SessionWork() {
  if (session_ == nullptr) return;
  session_->memory->Trim(session_->position());
  session_->memory->EndWork();
  session_->busy = false;
}

}  // namespace eidetic
