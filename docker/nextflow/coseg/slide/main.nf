process COSEG_SLIDE {
    tag "$meta.id"
    label 'process_high'

    container "coseg:0.1.0"  // docker build -f docker/Dockerfile -t coseg:0.1.0 .
    containerOptions { workflow.containerEngine == 'docker' ? "--entrypoint ''" : '' }

    input:
    tuple val(meta), path(slide)

    output:
    tuple val(meta), path("${prefix}")                          , emit: results
    tuple val(meta), path("${prefix}/nuclei.{csv,parquet}")     , emit: nuclei
    tuple val(meta), path("${prefix}/{nuclei,tissue}.geojson")  , emit: geojson
    tuple val(meta), path("${prefix}/tissue.ome.tif")           , emit: tissue
    tuple val("${task.process}"), val('coseg'), eval("coseg --version | sed 's/.* //'"), topic: versions, emit: versions_coseg

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    coseg slide "${slide}" --output found --workers ${task.cpus} ${args}
    mv "found/${slide.name}" "${prefix}"
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir "${prefix}"
    touch "${prefix}"/{nuclei.csv,nuclei.geojson,tissue.geojson,tissue.ome.tif}
    """
}
