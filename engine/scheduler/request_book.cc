#include "engine/scheduler/request_book.h"

#include <glog/logging.h>

#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace eidetic {

std::shared_ptr<Request> RequestBook::Find(const std::string& id) const {
  const auto found = requests_.find(id);
  return found == requests_.end() ? nullptr : found->second;
}

absl::Status RequestBook::Add(const std::string& id, std::shared_ptr<Request> request,
                              int32_t limit) {
  if (requests_.size() >= static_cast<size_t>(limit)) {
    auto oldest = requests_.end();
    const auto rank = [](const Request& r) { return std::tuple(!r.ended, r.facts.last_used); };
    for (auto it = requests_.begin(); it != requests_.end(); ++it) {
      if (it->second->running) continue;
      if (oldest == requests_.end() || rank(*it->second) < rank(*oldest->second)) oldest = it;
    }
    if (oldest == requests_.end()) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "request_id: ", limit, " requests with an id are running; wait for one to finish"));
    }
    if (forgotten_) forgotten_(*oldest->second);
    requests_.erase(oldest);
  }
  CHECK(requests_.emplace(id, std::move(request)).second);
  return absl::OkStatus();
}

void RequestBook::OnForget(std::function<void(const Request&)> forgotten) {
  forgotten_ = std::move(forgotten);
}

void RequestBook::Expire(absl::Time before) {
  std::erase_if(requests_, [&](const auto& entry) {
    const Request& request = *entry.second;
    const bool expired = !request.running && request.facts.last_used < before;
    if (expired && forgotten_) forgotten_(request);
    return expired;
  });
}

void RequestBook::ForgetBeyond(memory::Position position) {
  std::erase_if(requests_, [&](const auto& entry) {
    const Request& request = *entry.second;
    const memory::Position end =
        request.facts.prompt_begin + request.facts.prompt_tokens + request.record->tokens();
    if (end <= position) return false;
    CHECK(!request.running) << request.key.id;
    if (forgotten_) forgotten_(request);
    return true;
  });
}

}  // namespace eidetic
