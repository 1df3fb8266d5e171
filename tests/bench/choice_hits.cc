#include "tests/bench/choice_hits.h"

#include <glog/logging.h>

#include <vector>

namespace eidetic::bench {

void ChoiceHits::Count(const RetrieveSpanParams& params) {
  std::vector<RetrievalRequest> requests(params.requests.begin(), params.requests.end());
  for (RetrievalRequest& request : requests) request.rule = memory::RetrievalRule::kExact;
  const size_t row = params.max_span;
  std::vector<int32_t> chosen(requests.size() * params.layout.kv_heads * row);
  const size_t bytes = chosen.size() * sizeof(int32_t);
  if (bytes > bytes_) {
    Drop();
    auto buffer = backend_->arena()->Allocate(bytes);
    CHECK(buffer.ok()) << buffer.status();
    blocks_ = *buffer;
    bytes_ = bytes;
  }
  RetrieveSpanParams exact = params;
  exact.requests = requests;
  exact.blocks = static_cast<int32_t*>(blocks_);
  exact.stats = nullptr;
  backend_->RetrieveSpan(exact);
  std::vector<int32_t> best(chosen.size());
  backend_->CopyToHost(chosen.data(), params.blocks, bytes);
  backend_->CopyToHost(best.data(), blocks_, bytes);
  for (size_t at = 0; at < best.size(); at += row) {
    const auto begin = chosen.begin() + at;
    for (size_t i = 0; i < row && best[at + i] >= 0; ++i) {
      ++wanted_;
      found_ += std::find(begin, begin + row, best[at + i]) != begin + row;
    }
  }
}

void ChoiceHits::Drop() {
  if (blocks_ != nullptr) backend_->arena()->Free(blocks_, bytes_);
  blocks_ = nullptr;
}

}  // namespace eidetic::bench
