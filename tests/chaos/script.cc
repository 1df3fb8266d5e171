#include "tests/chaos/script.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "clients/cpp/client.h"
#include "tests/end_to_end/requests.h"

namespace eidetic::testing {
namespace {

constexpr int32_t kTokenIds = 4000;  // of the demo model's vocabulary, none special
constexpr int kSteps = 14;
constexpr absl::Duration kPause = absl::Milliseconds(5);
constexpr absl::Duration kPatience = absl::Minutes(3);  // for one step, kills included

std::vector<int32_t> DrawTokens(int count, std::mt19937_64* random) {
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = 100 + static_cast<int32_t>((*random)() % kTokenIds);
  return tokens;
}

// Step `i`. `snapshots`: those that the session has.
ScriptStep DrawStep(int i, std::vector<std::string>* snapshots, std::mt19937_64* random) {
  const uint64_t kind = (*random)() % 12;
  ScriptStep step;
  if (kind < 2) {
    step.rewind = 1 + static_cast<int64_t>((*random)() % 60);
  } else if (kind < 4 && !snapshots->empty()) {
    step.restore = (*snapshots)[(*random)() % snapshots->size()];
  } else if (kind < 5) {
    step.snapshot = snapshots->emplace_back(absl::StrCat("p", i));
  } else if (kind < 6) {
    snapshots->clear();
    step.fork = absl::StrCat("-f", i);
  } else if (kind < 8) {
    step.append = DrawTokens(1 + static_cast<int>((*random)() % 90), random);
  } else {
    const int count = 5 + static_cast<int>((*random)() % 30);
    step.generate = (*random)() % 2 == 0 ? Greedy("", count) : Sampled("", count, (*random)());
    step.generate.set_request_id(absl::StrCat("r", i));
  }
  return step;
}

absl::Status Broken(const Script& script, size_t step, const std::string& what) {
  return absl::DataLossError(absl::StrCat(script.session_id, ", step ", step, ": ", what));
}

class Player {
 public:
  Player(const Script& script, const FindServer& server, Outcome* outcome)
      : script_(script), server_(server), outcome_(outcome), id_(script.session_id) {}

  absl::Status Play() {
    absl::Status status = Create();
    for (size_t i = 0; status.ok() && i < script_.steps.size(); ++i) {
      status = Take(i, script_.steps[i]);
    }
    outcome_->position = position_;
    return status;
  }

 private:
  absl::Status Take(size_t i, const ScriptStep& step) {
    if (!step.append.empty()) return Append(i, step.append);
    if (step.rewind > 0) return Rewind(i, std::max<int64_t>(position_ - step.rewind, 1));
    if (!step.snapshot.empty()) return Snapshot(step.snapshot);
    if (!step.restore.empty()) return Restore(i, step.restore);
    if (!step.fork.empty()) return Fork(step.fork);
    return Generate(i, step.generate);
  }

  // Calls `call` with a server until it is done or there is no server any more.
  absl::Status Insist(const std::function<bool(const std::shared_ptr<grpc::Channel>&)>& call) {
    const absl::Time end = absl::Now() + kPatience;
    for (bool first = true;; first = false) {
      if (!first) ++outcome_->retries;
      if (absl::Now() > end)
        return absl::DeadlineExceededError(script_.session_id + ": no progress");
      const std::shared_ptr<grpc::Channel> channel = server_();
      if (channel == nullptr) return absl::CancelledError("no server any more");
      if (call(channel)) return absl::OkStatus();
      absl::SleepFor(kPause);
    }
  }

  static client::Client On(const std::shared_ptr<grpc::Channel>& channel) {
    return client::Client(channel);
  }

  absl::Status Create() {
    return Insist([&](const auto& channel) {
      auto made =
          On(channel).CreateSession({.id = script_.session_id, .attention = script_.attention});
      if (made.ok()) made->Keep();
      return made.ok() || absl::IsAlreadyExists(made.status());
    });
  }

  // The durable position; none while nobody answers or a writer that died is still there.
  std::optional<int64_t> PositionOn(const std::shared_ptr<grpc::Channel>& channel) {
    auto session = On(channel).OpenSession(id_);
    if (!session.ok() || session->info().busy()) return std::nullopt;
    return session->position();
  }

  // Moves the session to `end` by `move`, which is told where it must stand before.
  absl::Status Move(size_t step, int64_t end,
                    const std::function<absl::Status(client::Session&)>& move) {
    absl::Status wrong;
    const absl::Status status = Insist([&](const auto& channel) {
      const std::optional<int64_t> now = PositionOn(channel);
      if (!now) return false;
      if (*now == end && end != position_) return true;  // done, and the answer was lost
      if (*now != position_) {
        wrong = Broken(script_, step, absl::StrCat("stands at ", *now, ", not at ", position_));
        return true;
      }
      auto session = On(channel).OpenSession(id_);
      if (!session.ok()) return false;
      const absl::Status moved = move(*session);
      if (moved.ok() && session->position() != end) {
        wrong = Broken(script_, step, absl::StrCat("it moved to ", session->position()));
      }
      return moved.ok();
    });
    position_ = end;
    return status.ok() ? wrong : status;
  }

  absl::Status Rewind(size_t step, int64_t end) {
    return Move(step, end, [&](client::Session& s) { return s.Rewind(end, position_); });
  }

  absl::Status Restore(size_t step, const std::string& snapshot) {
    return Move(step, snapshots_.at(snapshot),
                [&](client::Session& s) { return s.Restore(snapshot, position_); });
  }

  absl::Status Snapshot(const std::string& snapshot) {
    snapshots_[snapshot] = position_;
    return Insist([&](const auto& channel) {
      auto session = On(channel).OpenSession(id_);
      if (!session.ok()) return false;
      const absl::Status taken = session->TakeSnapshot(snapshot).status();
      return taken.ok() || absl::IsAlreadyExists(taken);
    });
  }

  absl::Status Fork(const std::string& suffix) {
    const std::string child = absl::StrCat(id_, suffix);
    const absl::Status status = Insist([&](const auto& channel) {
      auto session = On(channel).OpenSession(id_);
      if (!session.ok()) return false;
      const absl::Status forked = session->Fork({.id = child}).status();
      return forked.ok() || absl::IsAlreadyExists(forked);
    });
    id_ = child;
    snapshots_.clear();  // they stay with the parent
    return status;
  }

  absl::Status Append(size_t step, const std::vector<int32_t>& ids) {
    const int64_t end = position_ + static_cast<int64_t>(ids.size());
    absl::Status wrong;
    const absl::Status status = Insist([&](const auto& channel) {
      const std::optional<int64_t> now = PositionOn(channel);
      if (!now) return false;
      if (*now == end) return true;  // it was taken, and the answer was lost
      if (*now != position_) {
        wrong = Broken(script_, step, absl::StrCat("stands at ", *now, ", not at ", position_));
        return true;
      }
      const std::string name = absl::StrCat("tenants/default/sessions/", id_);
      const auto appended = AppendTokens(channel, name, ids, position_);
      if (appended.ok() && *appended != end) {
        wrong = Broken(script_, step, absl::StrCat("an append led to ", *appended));
      }
      return appended.ok();
    });
    position_ = end;
    return status.ok() ? wrong : status;
  }

  absl::Status Generate(size_t step, v1::GenerateRequest request) {
    std::vector<int32_t>& tokens = outcome_->answers.emplace_back();
    std::string& text = outcome_->texts.emplace_back();
    std::optional<int64_t> begin;
    absl::Status wrong;
    const absl::Status status = Insist([&](const auto& channel) {
      auto session = On(channel).OpenSession(id_);
      if (!session.ok()) return false;
      request.set_resume_from(static_cast<int64_t>(tokens.size()));
      client::TokenStream stream = session->Generate(request);
      for (;;) {
        const auto event = stream.Next();
        if (!event.ok()) return IsFinal(step, event.status(), &wrong);
        if (!event->has_value()) return true;
        wrong = Take(step, **event, &begin, &tokens, &text);
        if (!wrong.ok()) return true;
      }
    });
    return status.ok() ? wrong : status;
  }

  // Errors that a dying server gives are asked again; others are findings.
  bool IsFinal(size_t step, const absl::Status& status, absl::Status* wrong) {
    if (absl::IsUnavailable(status) || absl::IsCancelled(status) || absl::IsAborted(status)) {
      return false;
    }
    *wrong = Broken(script_, step, status.ToString());
    return true;
  }

  absl::Status Take(size_t step, const v1::GenerateResponse& event, std::optional<int64_t>* begin,
                    std::vector<int32_t>* tokens, std::string* text) {
    if (event.has_start()) {
      if (*begin && **begin != event.start().position()) {
        return Broken(script_, step, "another beginning");
      }
      *begin = event.start().position();
    } else if (event.has_delta()) {
      const v1::TokenDelta& delta = event.delta();
      const auto next = static_cast<int64_t>(tokens->size()) + 1;
      if (delta.sequence_number() != next || delta.position() != **begin + next - 1) {
        return Broken(script_, step,
                      absl::StrCat("token ", delta.sequence_number(), " at ", delta.position(),
                                   " came as ", next));
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
  const FindServer& server_;
  Outcome* outcome_;
  std::string id_;  // of the session that the script is at
  int64_t position_ = 0;
  std::map<std::string, int64_t> snapshots_;
};

}  // namespace

Script DrawScript(uint64_t seed) {
  std::mt19937_64 random(seed);
  Script script;
  script.session_id = absl::StrCat("chaos-", seed);
  script.attention.set_window_tokens(64);
  script.attention.set_span_blocks(4);
  script.steps.push_back({.append = DrawTokens(300, &random)});
  std::vector<std::string> snapshots;
  for (int i = 1; i < kSteps; ++i) script.steps.push_back(DrawStep(i, &snapshots, &random));
  return script;
}

absl::Status Play(const Script& script, const FindServer& server, Outcome* outcome) {
  return Player(script, server, outcome).Play();
}

}  // namespace eidetic::testing
