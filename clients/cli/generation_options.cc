#include "clients/cli/generation_options.h"

namespace eidetic::cli {

void AddGenerationOptions(CLI::App* command, GenerationOptions* options) {
  command->add_option("--max-tokens", options->max_tokens, "Tokens to generate at most");
  command->add_option("--temperature", options->temperature, "0 is greedy");
  command->add_option("--top-p", options->top_p, "Nucleus sampling: (0, 1]");
  command->add_option("--top-k", options->top_k, "The k most probable tokens; 0 is off");
  command->add_option("--seed", options->seed, "Same seed and place, same noise");
  command->add_option("--stop", options->stop, "End before this text; may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--passages", options->passages, "Tell what the answer drew on");
}

v1::GenerateRequest ToRequest(const GenerationOptions& options) {
  v1::GenerateRequest request;
  if (options.max_tokens) request.set_max_tokens(*options.max_tokens);
  v1::SamplingParameters* sampling = request.mutable_sampling();
  if (options.temperature) sampling->set_temperature(*options.temperature);
  if (options.top_p) sampling->set_top_p(*options.top_p);
  if (options.top_k) sampling->set_top_k(*options.top_k);
  if (options.seed) sampling->set_seed(*options.seed);
  for (const std::string& stop : options.stop) request.add_stop_strings(stop);
  return request;
}

}  // namespace eidetic::cli
