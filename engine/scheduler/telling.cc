#include "engine/scheduler/telling.h"

#include <utility>

namespace eidetic {

void Tell(Ledger* ledger, std::shared_ptr<GenerationRecord> record, GenerationEvent event) {
  record->Announce();
  ledger->Tell(
      [record = std::move(record), event = std::move(event)](const absl::Status& durable) mutable {
        record->PublishAnnounced(durable.ok() ? std::move(event) : GenerationEvent(durable));
      });
}

void EndRequest(Ledger* ledger, SessionJournal* journal, Request* request, GenerationEvent last) {
  request->generation.reset();
  request->ended = true;
  request->running = false;
  if (const auto* error = std::get_if<absl::Status>(&last)) request->facts.error = *error;
  journal->Changed(*request);
  Tell(ledger, request->record, std::move(last));
}

}  // namespace eidetic
