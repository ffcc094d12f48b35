"""Options: the choices of a study, all kept in its study.json. Each field is a flag."""

from dataclasses import dataclass
from functools import partial

from bench.choices import image_size
from bench.choices.option_field import option
from bench.judging.selection import MOST_SEEDS, SELECT_ON

SEARCHERS = ("tpe", "random", "grid", "gp", "cmaes")
SCHEDULERS = ("asha", "fifo", "hyperband", "median", "pbt", "pb2")
WHOLE_POPULATION = ("hyperband", "pbt", "pb2")  # these need all of a task's trials at once
LARGEST_SEED = 4_000_000_000  # NumPy's generators take no more than 32 bits

# The groups of flags in --help
of_task, of_protocol = partial(option, "task"), partial(option, "protocol")
of_training, of_tuning = partial(option, "training"), partial(option, "tuning")
of_output = partial(option, "output")


@dataclass(frozen=True)
class Options:
    """What is trained on which images, and how it is tuned, chosen and tested.

    `None` leaves a choice to the data, the model or the protocol.
    """

    model: tuple[str, ...] = of_task(
        ("w_skipganomaly",),
        "a model's name (train_tune.py --list), or a Python file of your own; train_tune.py takes "
        "several",
        many=True,
    )
    dataset: str = of_task(
        "cifar10",
        "a data set's name; a folder of images: train/<class>/*, test/<class>/*, or categories as in "
        "MVTec AD: <category>/train/good/*, <category>/test/<defect>/*; or a Python file; several: a "
        "sweep, with a study of each (train_tune.py)",
        varied=True,
        path=True,
    )
    dataroot: str = of_task(
        "data",
        "folder for downloaded data sets and for the decoded images of a --dataset folder",
        path=True,
    )
    abnormal_class: tuple[str, ...] = of_task(
        (),
        "leave-one-class-out: this class is abnormal, the others are normal ('all': each in turn)",
        many=True,
    )
    normal_class: tuple[str, ...] = of_task(
        (),
        "one-class: this class is normal, the others are abnormal ('all': each in turn)",
        many=True,
    )
    category: tuple[str, ...] = of_task(
        (),
        "categories of a folder like MVTec AD: good images are normal, all defects are abnormal "
        "(default: all, each in turn)",
        many=True,
    )
    untrained_classes: str = of_task(
        "left_out",
        "leave-one-class-out: test images of other classes that have no training images are left "
        "out of the test, or count as normal",
        choices=("left_out", "normal"),
    )
    image_size: int | str | None = of_task(
        None,
        "pixels, 16 to 1024: 64 for squares; for a folder's images also 64x96, height x width; "
        "powers of two fit every model (default: the data's as a square, rounded up to a power of "
        "two, 256 at most)",
        aliases=("isize",),
        parse=image_size.parse,
        metavar="N|HxW",
    )
    channels: int | None = of_task(None, "1 (grey) or 3 (default: the data's)", aliases=("nc",))
    resize: str = of_task(
        "squash",
        "images of other proportions than --image_size: squash, crop the centre, or pad with black",
        choices=("squash", "crop", "pad"),
    )
    limit_train: int | tuple[int, ...] | None = of_task(
        None,
        "keep this many training images (of each category): a fixed, class-balanced, seeded subset; "
        "several numbers: a learning curve (train_tune.py)",
        varied=True,
    )
    limit_test: int | None = of_task(None, "keep this many test images, drawn in the same way")
    contamination: float | tuple[float, ...] = of_task(
        0.0,
        "share of the images trained on that is abnormal, unknown to the model, to see how robust "
        "it is; several shares: a curve (train_tune.py)",
        varied=True,
    )
    split_seed: int | None = of_task(
        None, "seed of splits and --limit_* (default: --seed)", least=0, most=LARGEST_SEED
    )

    protocol: str = of_protocol(
        "sound",
        "sound: validation images choose, and each image is scored by itself. "
        "published: what much released code does",
        choices=("sound", "published"),
    )
    scoring_mode: str | None = of_protocol(
        None,
        "networks' mode while scoring (default: the protocol's)",
        choices=("evaluation", "training"),
    )
    test_order: str | None = of_protocol(
        None, "order of the test images (default: the protocol's)", choices=("shuffled", "sorted")
    )
    selection: str | None = of_protocol(
        None,
        "images that choose epoch and configuration (default: the protocol's)",
        choices=("val", "test"),
    )
    test_pool: str | None = of_protocol(
        None,
        "with_training: test on the abnormal class's training images too (default: the protocol's)",
        choices=("official", "with_training"),
    )
    mix: str | None = of_protocol(
        None,
        "weights of a score's parts: as released (raw), in units of each part's spread on held-out "
        "normal images (standardised), or the same with the weight that does best on validation "
        "images (chosen) (default: the protocol's)",
        choices=("raw", "standardised", "chosen"),
    )
    select_on: str | None = of_protocol(
        None,
        "validation signal that chooses epoch and configuration "
        "(default: val_auroc; without abnormal images: val_loss)",
        choices=SELECT_ON,
    )
    limit_anomalies: int | tuple[int, ...] | None = of_protocol(
        None,
        "let this many abnormal validation images choose (default: as many as there are held-out "
        "normal ones, or 100 if that is more); several numbers: a curve (train_tune.py)",
        varied=True,
    )
    false_alarms: float = of_protocol(
        0.05,
        "share of normal images that may be called abnormal: held-out normal images set the "
        "threshold for it, which goes into the trained model's file",
    )

    steps: int | None = of_training(
        None,
        "generator steps of each run, evaluated 20 times, or once per pass if that is rarer (default: "
        "the model's fair budget; fewer on digits); rounded up to whole epochs",
    )
    epochs: int | None = of_training(
        None,
        "passes over the training images, each evaluated; with --steps: how often to evaluate",
        aliases=("niter",),
    )
    niter_decay: int = of_training(
        0, "the number of last epochs in which learning rates fall linearly to almost 0", least=0
    )
    batch_size: int | None = of_training(
        None,
        "images per training step, in every model (default: the model's own)",
        aliases=("batchsize",),
    )
    seed: int = of_training(
        0,
        "seed of splits, weights, batches, searchers",
        aliases=("manualseed",),
        least=0,
        most=LARGEST_SEED,
    )
    precision: str = of_training(
        "float32",
        "arithmetic of the networks; faster: tf32 (3 digits, on a GPU only), bfloat16 (2 digits)",
        choices=("float32", "tf32", "bfloat16"),
    )
    deterministic: bool = of_training(
        False, "on a GPU: the same result to the bit each time, more slowly (a CPU's always is)"
    )
    device: str = of_training("auto", "where networks run", choices=("auto", "cpu", "cuda"))
    cpus_per_trial: int | None = of_training(
        None,
        "processor cores (torch threads) per training run (default: 1 in a study, all in train.py)",
    )

    trials: int | None = of_tuning(
        None,
        "configurations to try per task, the default first; 0: no search (default: 10; grid: all)",
        least=0,
    )
    finalists: int | None = of_tuning(
        None,
        "this many best configurations, and the default, are trained again under fresh seeds; "
        "the best mean wins, and the default is tested beside it; 0: the best of one seed wins "
        "(default: 3; 0 where test images choose)",
        least=0,
    )
    finalist_seeds: int = of_tuning(2, "fresh seeds that judge finalists", most=MOST_SEEDS)
    seeds: int = of_tuning(
        5, "fresh seeds for training and testing winner and default", most=MOST_SEEDS
    )
    start_from: tuple[str, ...] = of_tuning(
        (),
        "folders of earlier studies, whose winners for the same models are tried after the default",
        many=True,
        path=True,
    )
    searcher: str = of_tuning("tpe", "proposes configurations (Optuna)", choices=SEARCHERS)
    scheduler: str = of_tuning("asha", "stops bad trials (Ray Tune)", choices=SCHEDULERS)
    grace_period: int | None = of_tuning(
        None, "epochs before asha, hyperband and median may stop a trial (default: a fifth of them)"
    )
    reduction_factor: int = of_tuning(3, "asha and hyperband let one trial in N go on", least=2)
    space: tuple[str, ...] = of_tuning(
        (),
        "search space in place of the model's own: w_con=25,50 lr=1e-5..1e-3:log nz=50..200:int, or a "
        "Python file",
        many=True,
        metavar="NAME=VALUES",
    )
    set: tuple[str, ...] = of_tuning(
        (),
        "hyperparameters held at a value, in the models that have them: ngf=32 w_gp=10",
        many=True,
        metavar="NAME=VALUE",
    )
    tune_for: str = of_tuning(
        "class",
        "one configuration per class, or one for all, judged by its mean over the classes",
        choices=("class", "mean"),
    )
    time_budget: str | None = of_tuning(None, "start no trial after this", metavar="90s|2h|1d")
    gpus_per_trial: float | None = of_tuning(
        None, "GPUs per trial; 0.25: four share one, each a quarter of its memory (default: 1)"
    )
    address: str | None = of_tuning(
        None,
        "run on a Ray cluster that is up already (default: this machine alone)",
        metavar="auto|HOST:PORT",
    )
    storage: str | None = of_tuning(
        None,
        "folder or URI for paused trials (hyperband, pbt, pb2), which all machines can reach; "
        "holds three checkpoints per trial until its search is over "
        "(default: the study's folder)",
        path=True,
    )

    name: str | None = of_output(
        None, "the study's name (default: made from model, data set, class and time)"
    )
    results_dir: str = of_output("results", "folder that holds the studies", path=True)
    keep_models: str = of_output(
        "all",
        "trained models of final runs to keep, up to 71 MB each at 32 x 32",
        choices=("all", "none"),
    )
