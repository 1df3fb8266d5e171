#include "tests/chaos/script.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "clients/cpp/client.h"
#include "tests/end_to_end/requests.h"

namespace eidetic::testing {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(5);
constexpr absl::Duration kPatience = absl::Minutes(3);  // for one step, kills included
constexpr int kTokensAfter = 4;                         // that a session is asked for at the end

class Player {
 public:
  Player(const Script& script, Servers* servers, Outcome* outcome)
      : script_(script), servers_(servers), outcome_(outcome), id_(script.session_id) {}

  absl::Status Play() {
    absl::Status status = Create();
    for (size_t i = 0; status.ok() && i < script_.steps.size(); ++i) {
      step_ = i;
      status = Take(script_.steps[i]);
    }
    Leave();
    return status;
  }

  absl::Status PlayOn() {
    absl::Status status;
    // Not those that this adds.
    for (size_t i = 0, count = outcome_->sessions.size(); status.ok() && i < count; ++i) {
      id_ = script_.session_id + outcome_->sessions[i].first;
      position_ = outcome_->sessions[i].second;
      v1::GenerateRequest request = Greedy("", kTokensAfter);
      request.set_request_id("after");
      step_ = script_.steps.size() + i;
      status = Generate(request);
      Leave();
    }
    return status;
  }

 private:
  using Channel = std::shared_ptr<grpc::Channel>;
  using Mover = std::function<absl::StatusOr<int64_t>(const Channel&, client::Session&)>;

  // The script is through with the session.
  void Leave() {
    outcome_->sessions.emplace_back(id_.substr(script_.session_id.size()), position_);
  }

  absl::Status Broken(int64_t* count, const std::string& what) {
    ++*count;
    return absl::DataLossError(absl::StrCat(id_, ", step ", step_, ": ", what));
  }
  absl::Status NotAt(int64_t now, int64_t expected) {
    Findings& found = outcome_->findings;
    return Broken(now < expected ? &found.lost : &found.doubled,
                  absl::StrCat("stands at ", now, ", not at ", expected));
  }

  absl::Status Take(const ScriptStep& step) {
    if (!step.append.empty()) return Append(step.append);
    if (step.rewind > 0) return Rewind(std::max<int64_t>(position_ - step.rewind, 1));
    if (!step.snapshot.empty()) return Snapshot(step.snapshot);
    if (!step.restore.empty()) return Restore(step.restore);
    if (!step.fork.empty()) return Fork(step);
    return Generate(step.generate);
  }

  // Calls `call` with a server until it succeeds or there is no server any more.
  absl::Status Insist(const std::function<absl::Status(const Channel&)>& call) {
    const absl::Time end = absl::Now() + kPatience;
    absl::Status last;
    for (bool first = true;; first = false) {
      if (!first) ++outcome_->retries;
      if (absl::Now() > end) {
        return absl::DeadlineExceededError(
            absl::StrCat(id_, ", step ", step_, ": no progress, at last ", last.ToString()));
      }
      const Channel channel = servers_->Find();
      if (channel == nullptr) return absl::CancelledError("no server any more");
      last = call(channel);
      if (last.ok()) {
        servers_->OnProgress();
        return last;
      }
      if (absl::IsNotFound(last)) return Broken(&outcome_->findings.lost, last.ToString());
      absl::SleepFor(kPause);
    }
  }

  static absl::Status OrThere(const absl::Status& status) {
    return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
  }

  absl::Status Create() {
    return Insist([&](const Channel& channel) {
      auto made = client::Client(channel).CreateSession(
          {.id = script_.session_id, .attention = script_.attention});
      if (made.ok()) made->Keep();
      return OrThere(made.status());
    });
  }

  absl::StatusOr<client::Session> Open(const Channel& channel) {
    return client::Client(channel).OpenSession(id_);
  }

  // Moves the session to `end` by `move`, unless it stands there: then it was moved, and the answer
  // was lost. `move` is told the session, and gives where it led to.
  absl::Status Move(int64_t end, const Mover& move) {
    absl::Status wrong;
    const absl::Status status = Insist([&](const Channel& channel) -> absl::Status {
      auto session = Open(channel);
      if (!session.ok()) return session.status();
      if (session->info().busy()) return absl::AbortedError("a writer that died is still there");
      const int64_t now = session->position();
      if (now == end && end != position_) return absl::OkStatus();
      if (now != position_) {
        wrong = NotAt(now, position_);
        return absl::OkStatus();
      }
      const absl::StatusOr<int64_t> moved = move(channel, *session);
      if (moved.ok() && *moved != end) wrong = NotAt(*moved, end);
      return moved.status();
    });
    position_ = end;
    return status.ok() ? wrong : status;
  }

  static absl::StatusOr<int64_t> PositionAfter(const absl::Status& moved,
                                               const client::Session& session) {
    if (!moved.ok()) return moved;
    return session.position();
  }

  absl::Status Rewind(int64_t end) {
    return Move(end, [&](const Channel&, client::Session& session) {
      return PositionAfter(session.Rewind(end, position_), session);
    });
  }

  absl::Status Restore(const std::string& snapshot) {
    return Move(snapshots_.at(snapshot), [&](const Channel&, client::Session& session) {
      return PositionAfter(session.Restore(snapshot, position_), session);
    });
  }

  absl::Status Append(const std::vector<int32_t>& ids) {
    return Move(position_ + static_cast<int64_t>(ids.size()),
                [&](const Channel& channel, client::Session& session) {
                  return AppendTokens(channel, session.name(), ids, position_);
                });
  }

  absl::Status Snapshot(const std::string& snapshot) {
    snapshots_[snapshot] = position_;
    return Insist([&](const Channel& channel) {
      auto session = Open(channel);
      return session.ok() ? OrThere(session->TakeSnapshot(snapshot).status()) : session.status();
    });
  }

  absl::Status Fork(const ScriptStep& step) {
    const std::string child = absl::StrCat(id_, step.fork);
    const absl::Status status = Insist([&](const Channel& channel) {
      auto session = Open(channel);
      if (!session.ok()) return session.status();
      return OrThere(session->Fork({.id = child, .attention = step.attention}).status());
    });
    Leave();
    id_ = child;
    snapshots_.clear();  // they stay with the parent
    return status;
  }

  absl::Status Generate(v1::GenerateRequest request) {
    std::vector<int32_t>& tokens = outcome_->answers.emplace_back();
    std::string& text = outcome_->texts.emplace_back();
    std::optional<int64_t> begin;
    absl::Status wrong;
    const absl::Status status = Insist([&](const Channel& channel) -> absl::Status {
      auto session = Open(channel);
      if (!session.ok()) return session.status();
      request.set_resume_from(static_cast<int64_t>(tokens.size()));
      client::TokenStream stream = session->Generate(request);
      for (;;) {
        const auto event = stream.Next();
        if (!event.ok()) return Retried(event.status(), &wrong);
        if (!event->has_value()) return absl::OkStatus();
        wrong = Take(**event, &begin, &tokens, &text);
        if (!wrong.ok()) return absl::OkStatus();
      }
    });
    return status.ok() ? wrong : status;
  }

  // Errors that a dying server gives are asked again; others are findings.
  absl::Status Retried(const absl::Status& status, absl::Status* wrong) {
    if (absl::IsUnavailable(status) || absl::IsCancelled(status) || absl::IsAborted(status)) {
      return status;
    }
    *wrong = Broken(&outcome_->findings.divergent, status.ToString());
    return absl::OkStatus();
  }

  absl::Status Take(const v1::GenerateResponse& event, std::optional<int64_t>* begin,
                    std::vector<int32_t>* tokens, std::string* text) {
    Findings& found = outcome_->findings;
    if (event.has_start()) {
      if (*begin && **begin != event.start().position()) {
        return Broken(&found.reordered, "another beginning");
      }
      *begin = event.start().position();
    } else if (event.has_delta()) {
      const v1::TokenDelta& delta = event.delta();
      const auto next = static_cast<int64_t>(tokens->size()) + 1;
      if (delta.sequence_number() != next || delta.position() != **begin + next - 1) {
        int64_t* const count = delta.sequence_number() > next   ? &found.lost
                               : delta.sequence_number() < next ? &found.doubled
                                                                : &found.reordered;
        return Broken(count, absl::StrCat("token ", delta.sequence_number(), " at ",
                                          delta.position(), " came as ", next));
      }
      tokens->push_back(delta.token());
      *text += delta.text();
    } else {
      *text += event.finish().text();
      position_ = event.finish().position();
    }
    return absl::OkStatus();
  }

  const Script& script_;
  Servers* const servers_;
  Outcome* outcome_;
  std::string id_;  // of the session that the script is at
  int64_t position_ = 0;
  size_t step_ = 0;
  std::map<std::string, int64_t> snapshots_;
};

}  // namespace

absl::Status Play(const Script& script, Servers* servers, Outcome* outcome) {
  return Player(script, servers, outcome).Play();
}

absl::Status PlayOn(const Script& script, Servers* servers, Outcome* outcome) {
  return Player(script, servers, outcome).PlayOn();
}

}  // namespace eidetic::testing
