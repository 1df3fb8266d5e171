#include "engine/durable/ledger.h"

namespace eidetic {

void Ledger::Flush() {
  auto tellings = std::make_shared<std::vector<Telling>>(std::exchange(tellings_, {}));
  const auto tell_all = [tellings](const absl::Status& durable) {
    for (Telling& tell : *tellings) tell(durable);
  };
  if (journal_ == nullptr) return tell_all(absl::OkStatus());
  if (tellings->empty() && batch_.empty()) return;
  journal_->Submit(std::exchange(batch_, {}), tell_all);
}

}  // namespace eidetic
