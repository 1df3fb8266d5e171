// Tells a request's readers what the ledger has made durable.
//
// Thread safety: the loop's thread. Ownership: shares the record until it is told.
// Preconditions: nothing follows an end.
#ifndef EIDETIC_ENGINE_SCHEDULER_TELLING_H_
#define EIDETIC_ENGINE_SCHEDULER_TELLING_H_

#include <memory>

#include "engine/durable/ledger.h"
#include "engine/durable/session_journal.h"
#include "engine/scheduler/request_book.h"

namespace eidetic {

// Publishes `event` once what happened so far is durable, or why it is not: the record's end.
void Tell(Ledger* ledger, std::shared_ptr<GenerationRecord> record, GenerationEvent event);

// The request has its last event, a finish or an error: it runs no more.
void EndRequest(Ledger* ledger, SessionJournal* journal, Request* request, GenerationEvent last);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_TELLING_H_
